/** The built-in network tools, against real servers on loopback. */

import { createHash, X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { expect } from 'chai';
import { afterEach, before, describe, it } from 'mocha';
import { systemClock } from '../../../src/domain/clock.ts';
import { scope as scopeSchema } from '../../../src/domain/scope.ts';
import { loadCatalog, type Catalog } from '../../../src/tools/catalog.ts';
import { find, listen, makeCertificate, outputOf, run, shippedTools, type RunOptions } from '../fixtures.ts';

const dayMs = 86_400_000;

describe('built-in network tools', () => {
  let catalog: Catalog;
  let good: { key: string; cert: string };
  before(async () => {
    catalog = await loadCatalog([shippedTools]);
    const now = systemClock.now();
    good = await makeCertificate({
      names: ['writ.test', '*.writ.test'],
      notBefore: new Date(now - dayMs),
      notAfter: new Date(now + 30 * dayMs + dayMs / 2),
    });
  });

  const closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });

  async function serve(server: Server): Promise<number> {
    const sockets = new Set<{ destroy: () => void }>();
    server.on('connection', (socket) => sockets.add(socket));
    const port = await listen(server);
    closers.push(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    return port;
  }

  /** A port that nobody listens on. */
  async function closedPort(): Promise<number> {
    const server = createServer();
    const port = await listen(server);
    server.close();
    await once(server, 'close');
    return port;
  }

  const loopback = (host: string) =>
    host === 'writ.test' ? Promise.resolve([{ address: '127.0.0.1' }]) : Promise.reject(new Error(`asked for ${host}`));
  const attempt = (tool: string, action: string, payload: object, over: RunOptions = {}) =>
    run(find(catalog, tool, action), payload, { lookup: loopback, ...over });

  describe('tcp.connect', () => {
    it('tells the address that answered', async () => {
      const port = await serve(createServer((socket) => socket.end()));
      const result = await attempt('tcp', 'connect', { host: 'writ.test', port });
      expect(outputOf(result)).to.include({ host: 'writ.test', port, address: '127.0.0.1', family: 4 });
    });

    it('tries the next address when one refuses', async () => {
      const port = await serve(createServer((socket) => socket.end()));
      const lookup = () => Promise.resolve([{ address: '127.0.0.2' }, { address: '127.0.0.1' }]);
      const result = await attempt('tcp', 'connect', { host: 'two.test', port }, { lookup });
      expect(outputOf(result)).to.include({ address: '127.0.0.1' });
    });

    it('tells a refused connection as worth another try', async () => {
      const result = await attempt('tcp', 'connect', { host: '127.0.0.1', port: await closedPort() });
      expect(result).to.include({ status: 'failed', retryable: true });
      expect(result.error?.code).to.equal('connection_refused');
    });

    it('looks the name up once, and connects to what was checked', async () => {
      const port = await serve(createServer((socket) => socket.end()));
      const answers = ['127.0.0.1', '192.0.2.1'];
      const lookup = () => Promise.resolve([{ address: answers.shift() ?? '' }]);
      const scope = scopeSchema.parse({ name: 'lab', tools: ['*'], targets: ['127.0.0.0/8'] });
      const over = { lookup, scope, allowPrivate: false };
      const result = await attempt('tcp', 'connect', { host: 'rebind.test', port }, over);
      expect(outputOf(result)).to.include({ address: '127.0.0.1' });
      expect(answers).to.have.length(1);
    });
  });

  describe('tls.inspect', () => {
    it('describes protocol and certificate, and says why it would not be trusted', async () => {
      const port = await serve(createTlsServer(good));
      const output = outputOf(await attempt('tls', 'inspect', { host: 'writ.test', port }));
      expect(output).to.include({ protocol: 'TLSv1.3', authorized: false, days_left: 30, address: '127.0.0.1' });
      expect(output.authorization_error).to.match(/SELF_SIGNED|self.signed/i);
      const certificate = new X509Certificate(good.cert);
      expect(output.chain).to.deep.equal([
        {
          subject: 'CN=writ.test, O=Writ tests',
          issuer: 'CN=writ.test, O=Writ tests',
          names: ['DNS:writ.test', 'DNS:*.writ.test'],
          serial: '0a1b2c',
          not_before: new Date(certificate.validFrom).toISOString(),
          not_after: new Date(certificate.validTo).toISOString(),
          sha256: createHash('sha256').update(certificate.raw).digest('hex'),
          key_type: 'ec-prime256v1',
        },
      ]);
    });

    it('asks for the server name it is given', async () => {
      const names: string[] = [];
      const noteName = (name: string, done: (error: Error | null) => void): void => {
        names.push(name);
        done(null);
      };
      const server = createTlsServer({ ...good, SNICallback: noteName });
      const port = await serve(server);
      await attempt('tls', 'inspect', { host: '127.0.0.1', port, server_name: 'other.writ.test' });
      await attempt('tls', 'inspect', { host: 'writ.test', port });
      await attempt('tls', 'inspect', { host: '127.0.0.1', port });
      expect(names).to.deep.equal(['other.writ.test', 'writ.test']);
    });

    it('counts the days of a certificate that has ended below zero', async () => {
      const now = systemClock.now();
      const old = await makeCertificate({
        names: ['writ.test'],
        notBefore: new Date(now - 9 * dayMs),
        notAfter: new Date(now - 2.5 * dayMs),
      });
      const port = await serve(createTlsServer(old));
      expect(outputOf(await attempt('tls', 'inspect', { host: 'writ.test', port }))).to.include({ days_left: -3 });
    });

    it('fails where the other side speaks no TLS, ends the connection, or says nothing', async () => {
      const plain = await serve(createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
      expect((await attempt('tls', 'inspect', { host: 'writ.test', port: plain })).error?.code).to.equal('tls_failed');
      const closing = await serve(createServer((socket) => socket.destroy()));
      const ended = await attempt('tls', 'inspect', { host: 'writ.test', port: closing });
      expect(ended.error?.code).to.equal('connection_reset');
      const silent = await serve(createServer());
      const waited = await attempt('tls', 'inspect', { host: 'writ.test', port: silent }, { timeoutMs: 200 });
      expect(waited.status).to.equal('timed_out');
    });
  });

  describe('http.probe', () => {
    const probe = (payload: object, over: RunOptions = {}) => attempt('http', 'probe', payload, over);
    const web = (listener: RequestListener) => serve(createHttpServer(listener));

    it('tells status, chosen headers, hash of the body and timing', async () => {
      const seen: Record<string, unknown>[] = [];
      const port = await web((request, response) => {
        seen.push({ url: request.url, method: request.method, ...request.headers });
        response
          .writeHead(200, { 'content-type': 'text/plain', 'set-cookie': 'secret=1', 'x-other': 'a' })
          .end('hello');
      });
      const output = outputOf(await probe({ url: `http://writ.test:${port.toString()}/a?b#c` }));
      expect(seen).to.have.length(1);
      expect(seen[0]).to.include({ url: '/a?b', method: 'GET', host: `writ.test:${port.toString()}` });
      expect(output).to.include({ status: 200, body_bytes: 5, tls: null, address: '127.0.0.1' });
      expect(output.body_sha256).to.equal(createHash('sha256').update('hello').digest('hex'));
      expect(output.headers).to.have.property('content-type', 'text/plain');
      expect(JSON.stringify(output)).not.to.include('secret');
    });

    it('follows no redirect', async () => {
      let calls = 0;
      const port = await web((_request, response) => {
        calls += 1;
        response.writeHead(302, { location: `http://127.0.0.1:${port.toString()}/private` }).end();
      });
      const output = outputOf(await probe({ url: `http://writ.test:${port.toString()}/` }));
      expect(output).to.include({ status: 302 });
      expect(calls).to.equal(1);
    });

    it('compares the status with the expected one', async () => {
      const port = await web((request, response) => response.writeHead(request.url === '/busy' ? 503 : 404).end());
      const url = `http://writ.test:${port.toString()}`;
      expect((await probe({ url, method: 'HEAD', expect_status: 404 })).status).to.equal('succeeded');
      const wrong = await probe({ url, expect_status: 200 });
      expect(wrong).to.include({ status: 'failed', retryable: false });
      expect(wrong.error?.code).to.equal('unexpected_status');
      expect(outputOf(wrong)).to.include({ status: 404 });
      expect(await probe({ url: `${url}/busy`, expect_status: 200 })).to.include({ retryable: true });
    });

    it('refuses a certificate that is not trusted unless it is told otherwise', async () => {
      const port = await serve(createHttpsServer(good, (_request, response) => response.end('x')));
      const url = `https://writ.test:${port.toString()}/`;
      const refused = await probe({ url });
      expect(refused).to.include({ status: 'failed', retryable: false });
      expect(refused.error?.code).to.equal('tls_unauthorized');
      const output = outputOf(await probe({ url, verify_tls: false }));
      expect(output).to.include({ status: 200 });
      expect(output.tls).to.include({ authorized: false, protocol: 'TLSv1.3', days_left: 30 });
    });

    it('fails for answers that are no HTTP, are cut off, or whose headers never end', async () => {
      const answer = async (text: string) => {
        const port = await serve(createServer((socket) => socket.once('data', () => socket.end(text))));
        return (await probe({ url: `http://writ.test:${port.toString()}/` })).error?.code;
      };
      expect(await answer('SSH-2.0-x\r\n')).to.equal('answer_invalid');
      expect(await answer('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc')).to.equal('connection_reset');
      expect(await answer('')).to.equal('connection_reset');
      expect(await answer(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)).to.equal('answer_invalid');
      const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n';
      expect(await answer(upgrade)).to.equal('answer_invalid');
    });

    it('ends after its own time limit as a failure that may be tried again', async () => {
      const port = await serve(createServer((socket) => socket.write('HTTP/1.1 200 OK\r\n')));
      const result = await probe({ url: `http://writ.test:${port.toString()}/`, timeout_ms: 100 });
      expect(result).to.include({ status: 'failed', retryable: true });
      expect(result.error?.code).to.equal('no_answer_in_time');
    });

    it('stops reading a body that is too large', async () => {
      const chunk = Buffer.alloc(1024 * 1024);
      const port = await web((_request, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', more);
        more();
      });
      const result = await probe({ url: `http://writ.test:${port.toString()}/` });
      expect(result.error?.code).to.equal('body_too_large');
    });
  });

  describe('dns.lookup', () => {
    const dns = (payload: object, over: RunOptions = {}) => attempt('dns', 'lookup', payload, over);

    it('knows the names of the hosts file', async () => {
      expect(outputOf(await dns({ name: 'localhost' })).answers).to.deep.equal(['127.0.0.1']);
    });

    it('asks the server it is given, and sorts the answers', async () => {
      const { port, asked } = await nameServer(closers, ['b', 'a']);
      const payload = { name: 'writ.test', type: 'TXT', server: '127.0.0.1', server_port: port };
      expect(outputOf(await dns(payload))).to.include({ server: '127.0.0.1' });
      expect(outputOf(await dns(payload)).answers).to.deep.equal(['a', 'b']);
      expect(asked()).to.equal(2);
    });

    it('tells a name that is not there', async () => {
      const { port } = await nameServer(closers, undefined);
      const result = await dns({ name: 'none.test', type: 'MX', server: '127.0.0.1', server_port: port });
      expect(result).to.include({ status: 'failed', retryable: false });
      expect(result.error?.code).to.equal('name_not_found');
    });

    it('holds the server, and only it, to the scope', async () => {
      const { port, asked } = await nameServer(closers, ['a']);
      const payload = { name: 'writ.test', type: 'TXT', server: '127.0.0.1', server_port: port };
      expect((await dns(payload, { allowPrivate: false })).error?.code).to.equal('scope_target');
      expect(asked()).to.equal(0);
      expect((await dns({ name: 'localhost' }, { allowPrivate: false })).status).to.equal('succeeded');
    });

    it('stops asking when it is cancelled', async () => {
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      const cancel = new AbortController();
      socket.once('message', () => {
        cancel.abort();
      });
      const payload = { name: 'a.test', type: 'A', server: '127.0.0.1', server_port: socket.address().port };
      expect((await dns(payload, { signal: cancel.signal })).status).to.equal('cancelled');
      socket.close();
    });
  });
});

/** Answers every question with TXT records of these texts, or that there is no such name. */
async function nameServer(closers: (() => Promise<void>)[], texts: string[] | undefined) {
  const socket = createSocket('udp4');
  let asked = 0;
  socket.on('message', (question, from) => {
    asked += 1;
    // RFC 1035 §4.1: the question's id, an answer without authority, the question again, the answers.
    let end = 12;
    while (question[end] !== 0) end += (question[end] ?? 0) + 1;
    const asks = question.subarray(12, end + 5);
    const head = Buffer.from(question.subarray(0, 12));
    head.writeUInt16BE(texts === undefined ? 0x8183 : 0x8180, 2);
    head.writeUInt16BE(texts?.length ?? 0, 6);
    head.writeUInt32BE(0, 8);
    const answers = (texts ?? []).map((text) => {
      const record = Buffer.from([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, text.length + 1, text.length]);
      return Buffer.concat([record, Buffer.from(text)]);
    });
    socket.send(Buffer.concat([head, asks, ...answers]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  closers.push(async () => {
    socket.close();
    await once(socket, 'close');
  });
  return { port: socket.address().port, asked: () => asked };
}
