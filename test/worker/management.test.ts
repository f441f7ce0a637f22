/** The node's own door, as whoever finds it may use it. */

import { once } from 'node:events';
import { request as send, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Clock } from '../../src/domain/clock.ts';
import { openManagementDoor } from '../../src/worker/management.ts';

const token = 'CANARY-management-7d1f0c9e42';
const nowMs = Date.parse('2026-03-04T05:06:07.000Z');
const fiveMinutesMs = 300_000;
const path = '/control/terminate';
const right = [`Bearer ${token}`];

interface Asked {
  authorization?: readonly string[];
  method?: string;
  path?: string;
  body?: string | Buffer;
}

interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  /** As it came. */
  text: string;
  body: Record<string, unknown>;
}

describe('the management door', () => {
  let clock: { ms: number } & Clock;
  let terminated: number[];
  let door: Awaited<ReturnType<typeof openManagementDoor>>;

  beforeEach(async () => {
    clock = { ms: nowMs, now: () => clock.ms, monotonicMs: () => clock.ms };
    terminated = [];
    door = await openManagementDoor({
      listen: { host: '127.0.0.1', port: 0 },
      ...{ token, graceS: 60, clock },
      onTerminate: (graceS) => terminated.push(graceS),
    });
  });

  afterEach(() => door.close());

  async function ask(asked: Asked = {}): Promise<Answered> {
    const { authorization = right, method = 'POST', body = bodyOf() } = asked;
    const { hostname, port } = new URL(door.url);
    const request = send({ hostname, port, method, path: asked.path ?? path, agent: false });
    request.setHeader('Content-Length', Buffer.byteLength(body));
    if (authorization.length > 0) request.setHeader('Authorization', authorization);
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const answer = await text(response);
    expect(answer + JSON.stringify(response.rawHeaders), 'the token is told to nobody').to.not.include(token);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: answer,
      body: JSON.parse(answer) as Record<string, unknown>,
    };
  }

  function bodyOf(members: Record<string, unknown> = {}): string {
    return JSON.stringify({ reason: 'a test', timestamp: new Date(clock.ms).toISOString(), ...members });
  }

  const unauthenticated: [what: string, authorization: string[]][] = [
    ['without a token', []],
    ['with another token', ['Bearer something-else']],
    ['with one character changed', [`Bearer ${token.slice(0, -1)}3`]],
    ['with one character less', [`Bearer ${token.slice(0, -1)}`]],
    ['with one character more', [`Bearer ${token}2`]],
    ['with the token in another case', [`Bearer ${token.toUpperCase()}`]],
    ['with an empty token', ['Bearer ']],
    ['with the token alone', [token]],
    ['with the token under another scheme', [`Basic ${token}`]],
    ['with the token and something behind it', [`Bearer ${token} ${token}`]],
    ['with the right token twice', [...right, ...right]],
    ['with the right token and a wrong one', [...right, 'Bearer something-else']],
    ['with a wrong token and the right one', ['Bearer something-else', ...right]],
  ];
  for (const [what, authorization] of unauthenticated) {
    it(`answers 401 ${what}, and the node goes on`, async () => {
      const { status, body } = await ask({ authorization });
      expect(status).to.equal(401);
      expect(body).to.include({ success: false, code: 'unauthenticated' });
      expect(terminated).to.deep.equal([]);
    });
  }

  it('answers 401 before it tells what there is, and reads no body for it', async () => {
    expect((await ask({ authorization: [], path: '/elsewhere' })).status).to.equal(401);
    expect((await ask({ authorization: [], body: 'no JSON' })).status).to.equal(401);
  });

  it('takes the name of the scheme in any case', async () => {
    expect((await ask({ authorization: [`bearer ${token}`] })).status).to.equal(202);
  });

  const elsewhere: [method: string, path: string][] = [
    ['GET', path],
    ['PUT', path],
    ['DELETE', path],
    ['POST', '/'],
    ['POST', `${path}/`],
    ['POST', `${path}?token=${'x'.repeat(20)}`],
    ['POST', '/control/Terminate'],
    ['POST', '/control/%74erminate'],
    ['POST', '//control/terminate'],
    ['GET', '/metrics'],
  ];
  for (const [method, where] of elsewhere) {
    it(`answers 404 to ${method} ${where}`, async () => {
      const { status, body } = await ask({ method, path: where });
      expect([status, body['code']]).to.deep.equal([404, 'no_such_path']);
      expect(terminated).to.deep.equal([]);
    });
  }

  const bodies: [what: string, body: () => string | Buffer][] = [
    ['nothing', () => ''],
    ['no JSON', () => '{"reason": '],
    ['a list', () => '[]'],
    ['null', () => 'null'],
    ['a text', () => '"terminate"'],
    ['a member that is not known', () => bodyOf({ force: true })],
    ['__proto__', () => bodyOf().replace('{', '{"__proto__": {"timestamp": 0}, ')],
    ['no reason', () => bodyOf({ reason: undefined })],
    ['a reason that is no text', () => bodyOf({ reason: 7 })],
    ['a reason of 501 characters', () => bodyOf({ reason: 'x'.repeat(501) })],
    ['no timestamp', () => bodyOf({ timestamp: undefined })],
    ['a timestamp that is null', () => bodyOf({ timestamp: null })],
    ['a timestamp without a zone', () => bodyOf({ timestamp: '2026-03-04T05:06:07' })],
    ['a timestamp in words', () => bodyOf({ timestamp: 'Wed, 04 Mar 2026 05:06:07 GMT' })],
    ['a day that does not exist', () => bodyOf({ timestamp: '2026-02-30T05:06:07Z' })],
    ['an endless number for a timestamp', () => bodyOf({ timestamp: 1 }).replace(':1}', ':1e999}')],
    ['a grace period below zero', () => bodyOf({ grace_period_seconds: -1 })],
    ['a grace period of over a day', () => bodyOf({ grace_period_seconds: 86_401 })],
    ['a grace period that is a text', () => bodyOf({ grace_period_seconds: '60' })],
    ['16 KiB and a byte', () => bodyOf().padEnd(16 * 1024 + 1)],
    ['a megabyte', () => bodyOf().padEnd(1024 * 1024)],
  ];
  for (const [what, body] of bodies) {
    it(`answers 400 to a body of ${what}`, async () => {
      const { status, body: answer } = await ask({ body: body() });
      expect(status).to.equal(400);
      expect(answer).to.include({ success: false, code: 'invalid_body' });
      expect(terminated).to.deep.equal([]);
    });
  }

  it('takes a body of 16 KiB', async () => {
    expect((await ask({ body: bodyOf().padEnd(16 * 1024) })).status).to.equal(202);
  });

  it('ends the connection of whoever goes on sending', async () => {
    const socket = connect(Number(new URL(door.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    socket.write(head);
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    const pour = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pour);
    pour();
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(terminated).to.deep.equal([]);
  });

  for (const [what, offMs] of [
    ['more than five minutes old', -fiveMinutesMs - 1],
    ['more than five minutes ahead', fiveMinutesMs + 1],
  ] as const) {
    it(`answers 400 to a timestamp that is ${what}`, async () => {
      for (const timestamp of [new Date(nowMs + offMs).toISOString(), (nowMs + offMs) / 1000]) {
        const { status, body } = await ask({ body: bodyOf({ timestamp }) });
        expect([status, body['code']]).to.deep.equal([400, 'stale_timestamp']);
      }
      expect(terminated).to.deep.equal([]);
    });
  }

  it('answers 400 to a call that is played again later', async () => {
    const body = bodyOf();
    clock.ms += fiveMinutesMs + 1;
    expect((await ask({ body })).body['code']).to.equal('stale_timestamp');
  });

  for (const [what, timestamp] of [
    ['five minutes old', '2026-03-04T05:01:07.000Z'],
    ['five minutes ahead', '2026-03-04T05:11:07Z'],
    ['of another zone', '2026-03-04T07:06:07+02:00'],
    ['in seconds', nowMs / 1000],
  ] as const) {
    it(`takes a timestamp ${what}`, async () => {
      expect((await ask({ body: bodyOf({ timestamp }) })).status).to.equal(202);
    });
  }

  it('answers 202 with the grace period that was asked for, and then the node ends', async () => {
    const { status, headers, body } = await ask({ body: bodyOf({ grace_period_seconds: 2.5 }) });
    expect(status).to.equal(202);
    expect(headers['content-type']).to.equal('application/json');
    expect(body).to.have.all.keys('success', 'message', 'grace_period_seconds');
    expect(body).to.include({ success: true, grace_period_seconds: 2.5 });
    expect(body['message']).to.be.a('string');
    expect(terminated).to.deep.equal([2.5]);
  });

  it('gives the grace period of the settings where none is asked for, and none where 0 is', async () => {
    expect((await ask()).body['grace_period_seconds']).to.equal(60);
    expect((await ask({ body: bodyOf({ grace_period_seconds: 0 }) })).body['grace_period_seconds']).to.equal(0);
    expect(terminated).to.deep.equal([60]);
  });

  it('ends the node once, however many ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask()));
    expect(answers.map(({ status }) => status)).to.deep.equal(Array(20).fill(202));
    expect(terminated).to.deep.equal([60]);
  });

  it('ends the node after its answer is out, not before', async () => {
    await door.close();
    const order: string[] = [];
    door = await openManagementDoor({
      listen: { host: '127.0.0.1', port: 0 },
      ...{ token, graceS: 60, clock },
      // Whoever is told closes everything, this door included: an answer that is not out by then never comes.
      onTerminate: () => {
        order.push('end');
        void door.close();
      },
    });
    expect((await ask()).status).to.equal(202);
    expect(order).to.deep.equal(['end']);
  });

  it('ends the node also where the caller does not wait for the answer', async () => {
    const body = bodyOf();
    const ended = new Promise<void>((resolve) => {
      terminated.push = (graceS) => {
        resolve();
        return graceS;
      };
    });
    const socket = connect(Number(new URL(door.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${body.length.toString()}\r\n\r\n`;
    socket.write(head + body, () => {
      socket.resetAndDestroy();
    });
    await ended;
  });
});
