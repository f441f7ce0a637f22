import { request } from 'node:http';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('bearer tokens', () => {
  let door: DoorFixture;
  let token: string;

  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['admin'], name: 'holder' });
  });

  after(() => door.close());

  function withHeaders(headers: [string, string][]): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const call = request(`${door.url}/api/v1/whoami`, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => (text += part));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text });
        });
      });
      call.on('error', reject);
      for (const [name] of headers)
        call.setHeader(
          name,
          headers.filter(([other]) => other === name).map(([, value]) => value),
        );
      call.end();
    });
  }

  it('says who it is', async () => {
    const answer = await door.call('GET', '/api/v1/whoami', { token });
    expect(answer.status).to.equal(200);
    expect(answer.body).to.include({ id: 'holder', kind: 'service', scope: null });
    expect(answer.body.roles).to.include.members(['admin', 'operator', 'viewer']);
    expect(answer.body.permissions).to.include('tasks:submit');
    expect(answer.text).not.to.include(token);
  });

  it('takes the scheme in any case', async () => {
    expect(
      (await door.call('GET', '/api/v1/whoami', { headers: { Authorization: `bEaReR ${token}` } })).status,
    ).to.equal(200);
  });

  const wrong: [what: string, header: (good: string) => string][] = [
    ['another scheme', (good) => `Basic ${good}`],
    ['no scheme', (good) => good],
    ['an empty token', () => 'Bearer '],
    ['two tokens', (good) => `Bearer ${good} ${good}`],
    [
      'a token with its last character changed',
      (good) => `Bearer ${good.slice(0, -1)}${good.endsWith('0') ? '1' : '0'}`,
    ],
    ['a token of the right form that is nobody’s', () => 'Bearer writ_svc_000000000000000000000000000000000000'],
    ['a token in other letters', (good) => `Bearer ${good.toUpperCase()}`],
    ['a JWT with alg none', () => 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.'],
    ['ten kilobytes', () => `Bearer ${'a'.repeat(10_000)}`],
  ];
  for (const [what, header] of wrong) {
    it(`answers 401 to ${what}, and records it`, async () => {
      const before = (await door.records()).length;
      const answer = await door.call('GET', '/api/v1/whoami', { headers: { Authorization: header(token) } });
      expect([answer.status, answer.body.code]).to.deep.equal([401, 'unauthenticated']);
      expect(answer.headers.get('www-authenticate')).to.equal('Bearer');
      const records = (await door.records()).slice(before);
      expect(records.map(({ type, outcome }) => [type, outcome])).to.deep.equal([['auth.deny', 'deny']]);
    });
  }

  it('refuses a token in the query, in the body, and two headers', async () => {
    const inQuery = await door.call('GET', `/api/v1/whoami?access_token=${token}`);
    expect([inQuery.status, inQuery.body.code]).to.deep.equal([400, 'token_misplaced']);
    expect(inQuery.text).not.to.include(token);
    const both = await door.call('GET', `/api/v1/whoami?access_token=${token}`, { token });
    expect(both.body.code).to.equal('token_misplaced');
    const inBody = await door.call('POST', '/api/v1/tasks', { body: { access_token: token } });
    expect([inBody.status, inBody.body.code]).to.deep.equal([400, 'token_misplaced']);
    const inForm = await door.call('POST', '/api/v1/tasks', {
      raw: `access_token=${token}`,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    });
    expect(inForm.body.code).to.equal('token_misplaced');
    const twice = await withHeaders([
      ['Authorization', `Bearer ${token}`],
      ['Authorization', `Bearer ${token}`],
    ]);
    expect(twice.status).to.equal(400);
    expect(twice.text).to.include('token_misplaced');
  });

  it('forgets a revoked token at once where it was revoked', async () => {
    const created = await door.call('POST', '/api/v1/tokens', {
      token,
      body: { name: 'short', kind: 'svc', roles: ['viewer'], expires_in_s: 60 },
    });
    const short = created.body.token;
    expect((await door.call('GET', '/api/v1/whoami', { token: short })).status).to.equal(200);
    expect((await door.call('DELETE', `/api/v1/tokens/${created.body.token_id}`, { token })).status).to.equal(204);
    expect((await door.call('GET', '/api/v1/whoami', { token: short })).status).to.equal(401);
  });

  it('refuses a token outside of its networks', async () => {
    const far = await door.token({ roles: ['viewer'], networks: ['192.0.2.0/24'] });
    expect((await door.call('GET', '/api/v1/whoami', { token: far })).status).to.equal(401);
    const near = await door.token({ roles: ['viewer'], networks: ['127.0.0.0/8'] });
    expect((await door.call('GET', '/api/v1/whoami', { token: near })).status).to.equal(200);
  });

  it('does not believe X-Forwarded-For', async () => {
    const far = await door.token({ roles: ['viewer'], networks: ['192.0.2.0/24'] });
    const headers = { 'X-Forwarded-For': '192.0.2.1' };
    expect((await door.call('GET', '/api/v1/whoami', { token: far, headers })).status).to.equal(401);
  });

  it('hands the tokens of nodes to the fleet as they are', async () => {
    const seen: unknown[] = [];
    await withDoor(
      {
        services: {
          fleet: {
            register: (given, body, { ip }) => Promise.resolve({ seen: seen.push([given, body, ip]) }),
            heartbeat: (given, nodeId, body) => Promise.resolve({ seen: seen.push([given, nodeId, body]) }),
          },
        },
      },
      async (own) => {
        const join = await own.call('POST', '/api/v1/nodes/register', { token: 'join', body: { a: 1 } });
        const beat = await own.call('POST', '/api/v1/nodes/n1/heartbeat', { token: 'credential', body: { b: 2 } });
        expect([join.status, beat.status]).to.deep.equal([201, 200]);
        expect(seen).to.deep.equal([
          ['join', { a: 1 }, '127.0.0.1'],
          ['credential', 'n1', { b: 2 }],
        ]);
      },
    );
  });
});
