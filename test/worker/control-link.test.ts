/** A node's calls to its orchestrator, whatever answers at the address. */

import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { systemClock } from '../../src/domain/clock.ts';
import { AppError } from '../../src/domain/error.ts';
import type { Heartbeat, HeartbeatAnswer, JoinAnswer, JoinRequest } from '../../src/domain/node.ts';
import { createListenerCertificate } from '../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../src/platform/keys/local-authority.ts';
import { createControlLink, type ControlLinkOptions } from '../../src/worker/control-link.ts';
import { withDirectory } from '../platform/keys/temporary-directory.ts';

const token = 'CANARY-node-credential-51c0ffee77';
const nodeId = '00000000-0000-7000-8000-0000000000aa';
const joinPath = '/api/v1/nodes/register';

const request: JoinRequest = {
  config: { listen_addr: '', capabilities: [] },
  receipt_key: { kty: 'OKP', crv: 'Ed25519', x: 'x'.repeat(43) },
};
const joined: JoinAnswer = {
  node_id: nodeId,
  credential: 'a credential',
  heartbeat_interval_s: 10,
  config: { scopes: [] },
  config_version: 1,
  trust: { origin: 'test.example/log', vkey: 'a key', manifest_keys: [] },
  broker: { queue: 'q', receipts: 'r' },
};
const beat = { boot_id: nodeId, status: 'active' } as unknown as Heartbeat;
const answeredBeat: HeartbeatAnswer = {
  lease_until: '2026-03-04T05:06:07.000Z',
  receipts_through: -1,
  receipts_through_boots: [],
  config_version: 1,
};

describe('the link of a node to its orchestrator', () => {
  const servers: (Server | TcpServer)[] = [];
  const sockets = new Set<Socket>();

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) {
      server.close();
      await once(server, 'close');
    }
  });

  async function listen(server: Server | TcpServer, scheme = 'http'): Promise<string> {
    servers.push(server);
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`;
  }

  const serve = (answer: RequestListener): Promise<string> => listen(createHttpServer(answer));

  /** Speaks TCP: what no HTTP server would answer. */
  const speak = (onSocket: (socket: Socket) => void): Promise<string> =>
    listen(
      createTcpServer((socket) => {
        socket.once('data', () => {
          onSocket(socket);
        });
      }),
    );

  /** An HTTPS server, and the authority of its certificate. */
  async function serveTls(answer: RequestListener, names?: string[]): Promise<{ url: string; ca: string }> {
    return withDirectory(async (directory) => {
      const authority = await openLocalAuthority({
        ...{ keyPath: join(directory, 'a.key'), certificatePath: join(directory, 'a.crt') },
        ...{ create: true, clock: systemClock },
      });
      const { keyPem: key, certificatePem: cert } = await createListenerCertificate(
        authority,
        names === undefined ? {} : { names },
      );
      const url = await listen(createHttpsServer({ key, cert }, answer), 'https');
      return { url, ca: await authority.rootPem() };
    });
  }

  function answerWith(status: number, body: unknown, type = 'application/json'): RequestListener {
    return (incoming, response) => {
      incoming.resume();
      response.writeHead(status, { 'Content-Type': type }).end(typeof body === 'string' ? body : JSON.stringify(body));
    };
  }

  /** How a join fails. No part of what is thrown shows the token, however deep somebody looks. */
  async function failureOf(url: string, options: ControlLinkOptions = {}): Promise<AppError> {
    const failure: unknown = await createControlLink(url, options)
      .join(token, request)
      .catch((error: unknown) => error);
    if (!(failure instanceof AppError)) throw new Error('not refused as it should be', { cause: failure });
    expect(inspect(failure, { depth: 10, showHidden: true })).to.not.include(token);
    expect(failure.message + JSON.stringify(failure.details)).to.not.include(token);
    return failure;
  }

  async function expectUnanswered(url: string, options: ControlLinkOptions = {}): Promise<AppError> {
    const failure = await failureOf(url, options);
    expect([failure.code, failure.reason]).to.deep.equal(['unavailable', 'orchestrator_unavailable']);
    return failure;
  }

  it('posts a join with its token and body, and hands on what is answered', async () => {
    const seen: unknown[] = [];
    const url = await serve((incoming, response) => {
      void text(incoming).then((body) => {
        const { method, url: path, headers } = incoming;
        seen.push({ method, path, authorization: headers.authorization, type: headers['content-type'], body });
        response.writeHead(201).end(JSON.stringify({ ...joined, more: 'of a later version' }));
      });
    });
    expect(await createControlLink(`${url}/`).join(token, request)).to.deep.equal(joined);
    expect(seen).to.deep.equal([
      {
        ...{ method: 'POST', path: joinPath, authorization: `Bearer ${token}`, type: 'application/json' },
        body: JSON.stringify(request),
      },
    ]);
  });

  it('posts heartbeats to the node’s own path, over one connection', async () => {
    const seen: (string | undefined)[] = [];
    const ports = new Set<number | undefined>();
    const url = await serve((incoming, response) => {
      seen.push(incoming.url, incoming.headers.authorization);
      ports.add(incoming.socket.remotePort);
      answerWith(200, answeredBeat)(incoming, response);
    });
    const link = createControlLink(url);
    for (let i = 0; i < 3; i++) expect(await link.heartbeat(token, nodeId, beat)).to.deep.equal(answeredBeat);
    const one = [`/api/v1/nodes/${nodeId}/heartbeat`, `Bearer ${token}`];
    expect(seen).to.deep.equal([...one, ...one, ...one]);
    expect(ports.size).to.equal(1);
  });

  describe('over https', () => {
    it('speaks to the authority that it was given', async () => {
      const { url, ca } = await serveTls(answerWith(201, joined));
      expect(await createControlLink(url, { ca }).join(token, request)).to.deep.equal(joined);
    });

    it('tells nothing to a server of another authority', async () => {
      let asked = 0;
      const { url } = await serveTls(() => asked++);
      const { ca } = await serveTls(() => undefined);
      const { message } = await expectUnanswered(url, { ca });
      expect(message).to.match(/SELF_SIGNED|SIGNATURE|UNABLE_TO_VERIFY/);
      expect(asked).to.equal(0);
    });

    it('tells nothing to a server that the system knows nothing of', async () => {
      let asked = 0;
      const { url } = await serveTls(() => asked++);
      const { message } = await expectUnanswered(url);
      expect(message).to.match(/SELF_SIGNED|UNABLE_TO/);
      expect(asked).to.equal(0);
    });

    it('tells nothing to a server of another name', async () => {
      let asked = 0;
      const { url, ca } = await serveTls(() => asked++, ['elsewhere.example']);
      expect((await expectUnanswered(url, { ca })).message).to.include('ALTNAME_INVALID');
      expect(asked).to.equal(0);
    });

    it('gives up on a server that does not speak TLS', async () => {
      const url = await serve(answerWith(201, joined));
      await expectUnanswered(url.replace('http:', 'https:'));
    });
  });

  for (const status of [301, 302, 303, 307, 308]) {
    it(`does not follow a redirect (${status.toString()})`, async () => {
      let asked = 0;
      const elsewhere = await serve(() => asked++);
      const url = await serve((incoming, response) => {
        incoming.resume();
        response.writeHead(status, { Location: `${elsewhere}${joinPath}` }).end(JSON.stringify(joined));
      });
      await expectUnanswered(url);
      expect(asked).to.equal(0);
    });
  }

  const timeoutMs = 150;
  const stalled: [what: string, start: () => Promise<string>][] = [
    ['takes the connection and says nothing', () => speak(() => undefined)],
    ['answers the head and then nothing', () => speak((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Le'))],
    [
      'answers the body byte by byte',
      () =>
        serve((incoming, response) => {
          incoming.resume();
          response.writeHead(200, { 'Content-Length': 1_000_000 });
          const timer = setInterval(() => response.write(' '), 10);
          response.on('close', () => {
            clearInterval(timer);
          });
        }),
    ],
    [
      'goes on telling that it is at work',
      () =>
        speak((socket) => {
          const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 10);
          socket.on('close', () => {
            clearInterval(timer);
          });
        }),
    ],
  ];
  for (const [what, start] of stalled) {
    it(`gives up in time on a server that ${what}`, async () => {
      const url = await start();
      const startedMs = performance.now();
      await expectUnanswered(url, { timeoutMs });
      expect(performance.now() - startedMs).to.be.within(timeoutMs - 10, timeoutMs + 2000);
    });
  }

  const raw: [what: string, bytes: string][] = [
    ['closes the connection', ''],
    ['wants another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'],
    ['answers no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['ends in the middle of its answer', 'HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n{"node_id":'],
    ['answers a head of 100 kB', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`],
    ['echoes the credential in its head', `HTTP/1.1 200 OK\r\nX-Echo: ${token}\r\nContent-Length: 0\r\n\r\n`],
  ];
  for (const [what, bytes] of raw) {
    it(`gives up at once on a server that ${what}`, async () => {
      const url = await speak((socket) => socket.end(bytes, 'latin1'));
      const startedMs = performance.now();
      await expectUnanswered(url);
      expect(performance.now() - startedMs).to.be.below(5000);
    });
  }

  it('gives up at once where nobody listens, and names the reason', async () => {
    const url = await serve(() => undefined);
    const server = servers.pop();
    server?.close();
    expect((await expectUnanswered(url)).message).to.include('ECONNREFUSED');
  });

  it('gives up on an answer of 10 MB before it has it all', async () => {
    const url = await serve((incoming, response) => {
      incoming.resume();
      response.writeHead(201).end(JSON.stringify({ ...joined, padding: 'x'.repeat(10_000_000) }));
    });
    await expectUnanswered(url);
  });

  it('reads an answer of 5 MB: scopes may be many', async () => {
    const url = await serve(answerWith(200, { ...answeredBeat, padding: 'x'.repeat(5_000_000) }));
    expect(await createControlLink(url).heartbeat(token, nodeId, beat)).to.deep.equal(answeredBeat);
  });

  const html = `<html><body><pre>authorization: Bearer ${token}</pre></body></html>`;
  for (const status of [200, 201, 401, 403, 502]) {
    it(`does not take HTML for an answer of an orchestrator (${status.toString()})`, async () => {
      await expectUnanswered(await serve(answerWith(status, html, 'text/html')));
    });
  }

  const others: [what: string, status: number, body: unknown][] = [
    ['null', 200, 'null'],
    ['an object of another form', 200, { ok: true }],
    ['a join without a node id', 201, { ...joined, node_id: 'not an id' }],
    ['a join whose keys are a text', 201, { ...joined, trust: { ...joined.trust, manifest_keys: 'none' } }],
    ['nothing at all', 204, ''],
    ['another refusal than a problem', 403, { message: 'Forbidden' }],
    ['a list', 401, []],
    ['a problem with a code that is no text', 403, { code: 403, detail: 'x' }],
    ['a problem of a megabyte', 403, { code: 'x', detail: 'x'.repeat(1_000_000) }],
  ];
  for (const [what, status, body] of others) {
    it(`does not take ${what} for an answer of an orchestrator`, async () => {
      await expectUnanswered(await serve(answerWith(status, body)));
    });
  }

  for (const [status, code] of [
    [400, 'invalid'],
    [401, 'unauthenticated'],
    [403, 'forbidden'],
    [404, 'invalid'],
    [409, 'conflict'],
    [413, 'invalid'],
    [429, 'unavailable'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ] as const) {
    it(`tells a refusal with status ${status.toString()} as ${code}, with its reason and what to do`, async () => {
      const problem = { type: 'x', title: 'x', status, code: 'some_reason', detail: 'What to do next.' };
      const url = await serve(answerWith(status, problem, 'application/problem+json'));
      const failure = await failureOf(url);
      expect([failure.code, failure.reason, failure.message]).to.deep.equal([code, 'some_reason', 'What to do next.']);
    });
  }

  it('shows no credential that cannot be a header', async () => {
    const url = await serve(() => undefined);
    const failure: unknown = await createControlLink(url)
      .join(`${token}\r\nX-Injected: 1`, request)
      .catch((error: unknown) => error);
    expect(failure).to.include({ code: 'unavailable' });
    expect(inspect(failure, { depth: 10 })).to.not.include(token);
  });

  for (const url of ['ftp://127.0.0.1', 'not an address', 'http://']) {
    it(`does not call ${url}`, () => expectUnanswered(url));
  }
});
