import { connect } from 'node:net';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import { noopTask, openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('hostile input over HTTP', () => {
  let door: DoorFixture;
  let token: string;

  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['admin'] });
  });

  after(async () => {
    expect(door.failures).to.deep.equal([]);
    await door.close();
  });

  afterEach(async () => {
    expect((await door.database.query('select from tasks')).rowCount, 'tasks').to.equal(0);
  });

  /** Sends bytes as they are, and gives what comes back until the other side closes or `enough` says so. */
  function send(bytes: string, enough: (text: string) => boolean = () => false): Promise<string> {
    const { hostname, port } = new URL(door.url);
    return new Promise((resolve, reject) => {
      let text = '';
      const socket = connect(Number(port), hostname, () => socket.write(bytes, 'latin1'));
      socket.setEncoding('latin1');
      socket.on('data', (part: string) => {
        text += part;
        if (enough(text)) socket.end();
      });
      socket.on('close', () => {
        resolve(text);
      });
      socket.on('error', reject);
    });
  }

  const head = (lines: readonly string[]): string =>
    [`POST /api/v1/tasks HTTP/1.1`, 'Host: x', `Authorization: Bearer ${token}`, ...lines, '', ''].join('\r\n');
  const json = JSON.stringify(noopTask);
  const smuggled = 'GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\n\r\n';

  const malformed: [what: string, bytes: () => string][] = [
    [
      'two lengths',
      () =>
        head(['Content-Type: application/json', 'Content-Length: 5', `Content-Length: ${json.length.toString()}`]) +
        json,
    ],
    [
      'two equal lengths',
      () => head(['Content-Type: application/json', 'Content-Length: 5', 'Content-Length: 5']) + '{}   ',
    ],
    [
      'a length and chunks',
      () =>
        head(['Content-Type: application/json', 'Content-Length: 5', 'Transfer-Encoding: chunked']) +
        `0\r\n\r\n${smuggled}`,
    ],
    [
      'chunks under two codings',
      () => head(['Content-Type: application/json', 'Transfer-Encoding: chunked, identity']) + `0\r\n\r\n${smuggled}`,
    ],
    ['a length with a sign', () => head(['Content-Type: application/json', 'Content-Length: +5']) + '{}   '],
    ['a bad chunk size', () => head(['Content-Type: application/json', 'Transfer-Encoding: chunked']) + 'zz\r\n'],
    ['a space before the colon', () => head(['Content-Length : 5']) + '{}   '],
    ['a bare line feed in a header', () => head(['X-A: b\nX-C: d'])],
    ['NUL in a header', () => head(['X-A: b\0c'])],
    ['no HTTP at all', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
  ];
  for (const [what, bytes] of malformed) {
    it(`answers 400 to ${what}, and closes`, async () => {
      const text = await send(bytes());
      expect(text).to.match(/^HTTP\/1\.1 400 /);
      expect(text).to.include('malformed_request').and.to.include('application/problem+json');
      expect(text.match(/^HTTP\/1\.1 /gm)).to.have.length(1);
    });
  }

  it('answers 431 to headers of over 16 KiB', async () => {
    const text = await send(head([`X-Long: ${'a'.repeat(17_000)}`]));
    expect(text).to.match(/^HTTP\/1\.1 431 /);
    expect(text).to.include('headers_too_large');
  });

  it('answers 413 to a body of over 1 MiB, told or chunked', async () => {
    const big = `{"payload":"${'a'.repeat(1024 * 1024)}"}`;
    const told = await door.call('POST', '/api/v1/tasks', { token, raw: big });
    expect([told.status, told.body.code]).to.deep.equal([413, 'body_too_large']);
    const chunk = `${(64 * 1024).toString(16)}\r\n${'a'.repeat(64 * 1024)}\r\n`;
    const chunked =
      head(['Content-Type: application/json', 'Transfer-Encoding: chunked']) + chunk.repeat(17) + '0\r\n\r\n';
    expect(await send(chunked, (text) => text.includes('body_too_large'))).to.match(/^HTTP\/1\.1 413 /);
    const huge = head(['Content-Type: application/json', 'Content-Length: 99999999999']);
    expect(await send(huge)).to.match(/^HTTP\/1\.1 413 /);
  });

  const bodies: [what: string, raw: string | Uint8Array<ArrayBuffer>, code: string][] = [
    ['200,000 levels', '['.repeat(200_000), 'too_deep'],
    ['a member twice', '{"tool":"noop","tool":"noop","action":"run"}', 'duplicate_member'],
    ['__proto__', '{"tool":"noop","action":"run","payload":{"__proto__":{}}}', 'forbidden_member'],
    ['bytes that are no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 'invalid_utf8'],
    ['unknown members', '{"tool":"noop","action":"run","role":"admin"}', 'invalid_task'],
    ['NUL in a text', '{"tool":"noop","action":"run","source":"a\\u0000b"}', 'forbidden_character'],
    ['a token in the body', '{"tool":"noop","action":"run","access_token":"x"}', 'token_misplaced'],
    [
      'a payload of over 256 KiB',
      JSON.stringify({ ...noopTask, payload: { output: 'a'.repeat(270_000) } }),
      'payload_too_large',
    ],
    ['a number beyond its bounds', '{"tool":"noop","action":"run","priority":1e400}', 'invalid_task'],
    ['no object', '[]', 'invalid_task'],
    ['nothing', '', 'invalid_task'],
  ];
  for (const [what, raw, code] of bodies) {
    it(`refuses a body with ${what}`, async () => {
      const answer = await door.call('POST', '/api/v1/tasks', { token, raw });
      expect(answer.status).to.be.oneOf([400, 413]);
      expect(answer.body.code).to.equal(code);
      expect(answer.headers.get('content-type')).to.equal('application/problem+json');
      expect(answer.body.type).to.equal(`/docs/errors#${code}`);
      expect(answer.body.instance).to.equal('/api/v1/tasks');
    });
  }

  it('takes JSON in UTF-8 alone', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json; charset=utf-16',
      'application/jsonx',
    ]) {
      const answer = await door.call('POST', '/api/v1/tasks', { token, raw: json, headers: { 'Content-Type': type } });
      expect([answer.status, answer.body.code], type).to.deep.equal([415, 'unsupported_media_type']);
    }
    const packed = await door.call('POST', '/api/v1/tasks', {
      token,
      raw: json,
      headers: { 'Content-Encoding': 'gzip' },
    });
    expect(packed.body.code).to.equal('unsupported_media_type');
  });

  it('refuses parameters that are unknown, twice there, or made up', async () => {
    const asked: [query: string, code: string][] = [
      ['?limi=1', 'unknown_parameter'],
      ['?__proto__=1', 'unknown_parameter'],
      ['?limit=1&limit=2', 'duplicate_parameter'],
      ['?limit=0', 'invalid_limit'],
      ['?limit=501', 'invalid_limit'],
      ['?limit=-1', 'invalid_limit'],
      ['?limit=1e2', 'invalid_limit'],
      ['?limit=', 'invalid_limit'],
      ['?limit=99999999999999999999', 'invalid_limit'],
      ['?cursor=abc', 'invalid_cursor'],
      ['?cursor=', 'invalid_cursor'],
      [
        `?cursor=${Buffer.from('{"after":"01890000-0000-7000-8000-000000000001","list":"tasks"} ').toString('base64url')}`,
        'invalid_cursor',
      ],
      [`?cursor=${'A'.repeat(600)}`, 'invalid_cursor'],
      ['?state=done', 'invalid_parameter'],
      ['?created_from=yesterday', 'invalid_parameter'],
      ['?source=a%00b', 'invalid_parameter'],
      ['?label.=x', 'invalid_parameter'],
    ];
    for (const [query, code] of asked) {
      const answer = await door.call('GET', `/api/v1/tasks${query}`, { token });
      expect([answer.status, answer.body.code], query).to.deep.equal([400, code]);
    }
    expect((await door.call('GET', '/api/v1/whoami?x=1', { token })).body.code).to.equal('unknown_parameter');
    expect((await door.call('GET', '/api/v1/tasks/x?wait_s=61', { token })).body.code).to.equal('invalid_parameter');
  });

  it('answers 404 to paths that are none, and 405 with what is allowed', async () => {
    for (const path of [
      '/',
      '/api',
      '/api/v1/tasks/',
      '/API/v1/tasks',
      '/api/v1//tasks',
      '/api/v1/tasks/x/y',
      '/api/v1/tasks/../tokens/..',
      '/api/v1/tools/%2e%2e%2f',
    ]) {
      const answer = await door.call('GET', path, { token });
      expect(answer.status, path).to.equal(404);
      expect(answer.headers.get('content-type')).to.equal('application/problem+json');
    }
    const answer = await door.call('PUT', '/api/v1/tasks', { token, body: {} });
    expect([answer.status, answer.body.code, answer.headers.get('allow')]).to.deep.equal([
      405,
      'method_not_allowed',
      'POST, GET, HEAD',
    ]);
    const path = await door.call('GET', '/api/v1/tasks/%E0%A4%A', { token });
    expect([path.status, path.body.code]).to.deep.equal([400, 'invalid_path']);
  });

  it('keeps a plain request id and replaces any other', async () => {
    expect(
      (await door.call('GET', '/health', { headers: { 'X-Request-Id': 'abc-1' } })).headers.get('x-request-id'),
    ).to.equal('abc-1');
    for (const id of ['a b', 'x'.repeat(129), 'ü']) {
      expect(
        (await door.call('GET', '/health', { headers: { 'X-Request-Id': id } })).headers.get('x-request-id'),
      ).to.match(/^[0-9a-f-]{36}$/);
    }
  });

  it('tells nothing of a failure inside, and tells it to the log', async () => {
    await withDoor(
      {
        services: { readiness: () => Promise.reject(new Error('select secret from table')) },
      },
      async (own) => {
        const answer = await own.call('GET', '/api/v1/ready');
        expect([answer.status, answer.body.code]).to.deep.equal([500, 'internal']);
        expect(answer.text).not.to.include('secret');
        expect(own.failures).to.have.length(1);
      },
    );
  });

  it('hides what it is made of, and lets no page do anything', async () => {
    const { headers } = await door.call('GET', '/health');
    expect(headers.get('x-powered-by')).to.equal(null);
    expect(headers.get('etag')).to.equal(null);
    expect(headers.get('content-security-policy')).to.include("default-src 'none'");
    expect(headers.get('x-content-type-options')).to.equal('nosniff');
    expect(headers.get('cache-control')).to.equal('no-store');
  });
});
