/** What a connection to RabbitMQ fails with: on the real server, and on what else may listen at its address. */

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import type { RabbitMqService } from '../../../../scripts/services/rabbitmq.ts';
import type { AppError } from '../../../../src/domain/error.ts';
import type { RabbitMqTls } from '../../../../src/platform/broker/rabbitmq/link.ts';
import {
  connectRabbitMq,
  type RabbitMqBroker,
  type RabbitMqOptions,
} from '../../../../src/platform/broker/rabbitmq/rabbitmq-broker.ts';
import { createListenerCertificate } from '../../../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../../../src/platform/keys/local-authority.ts';
import { eventually } from '../../../end-to-end/eventually.ts';
import { callManagement } from '../../../support/rabbitmq-api.ts';
import { tlsOf } from '../../../support/rabbitmq-client.ts';
import { newServiceFolder, realPartsMissing, testRabbitMq } from '../../../support/services.ts';
import { startTcpProxy } from '../../../support/tcp-proxy.ts';

const yearMs = 365 * 86_400_000;

describe('a connection to RabbitMQ that does not come about', function () {
  this.timeout(90_000);
  let service: RabbitMqService;
  let good: RabbitMqTls;
  const servers: Server[] = [];
  const brokers: RabbitMqBroker[] = [];

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await testRabbitMq();
    good = tlsOf(service, 'writ-orchestrator');
  });
  afterEach(async () => {
    for (const broker of brokers.splice(0)) await broker.close();
  });
  after(() => {
    for (const server of servers) server.close();
  });

  async function connect(options: Partial<RabbitMqOptions>): Promise<RabbitMqBroker> {
    const broker = await connectRabbitMq({
      ...{ url: service.url, tls: () => good, name: 'test', random: () => 1, log: () => undefined },
      ...options,
    });
    brokers.push(broker);
    return broker;
  }

  /** Why no connection comes about. No text of it, and none of its causes, may hold a key or a passphrase. */
  async function failureOf(options: Partial<RabbitMqOptions>, secrets: readonly string[] = []): Promise<AppError> {
    const failure = await connect(options).then(
      async (broker) => {
        await broker.close();
        return broker.failure;
      },
      (error: unknown) => error as AppError,
    );
    if (failure === undefined) throw new Error('the connection came about');
    const told = [failure, failure.cause].map((one) => `${String(one)} ${(one as Error | undefined)?.stack ?? ''}`);
    for (const secret of [...linesOf(good.key), ...secrets]) expect(told.join('\n')).not.to.include(secret);
    return failure;
  }

  function as(changes: Partial<RabbitMqTls>): Partial<RabbitMqOptions> {
    return { tls: () => ({ ...good, ...changes }) };
  }

  async function addressOf(server: Server): Promise<string> {
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `amqps://localhost:${(server.address() as AddressInfo).port.toString()}`;
  }

  /** A server that takes TCP connections and does with them what it is told. */
  function plainServer(act: (socket: Socket) => void): Promise<string> {
    return addressOf(createServer((socket) => act(socket.on('error', () => undefined))));
  }

  function tlsServer(options: TlsOptions, act: (socket: TLSSocket) => void): Promise<string> {
    const server = createTlsServer(options, (socket) => act(socket.on('error', () => undefined)));
    server.on('tlsClientError', () => undefined);
    return addressOf(server);
  }

  function expectFailure({ code, reason, message }: AppError, expected: string, setting: string): void {
    expect(`${code} ${reason}`).to.equal(expected);
    expect(message).to.include(setting);
  }

  it('names the authority, where it did not sign RabbitMQ’s certificate', async () => {
    const ca = readFileSync(join(dirname(service.caPath), '../other-ca-authority/ca.pem'), 'utf8');
    for (const wrong of [ca, '', 'no certificate']) {
      expectFailure(await failureOf(as({ ca: wrong })), 'invalid broker_ca_wrong', 'RABBITMQ_SSL_CAFILE');
    }
  });

  it('names the name, where the certificate is for another', async () => {
    const failure = await failureOf(as({ servername: 'broker.example' }));
    expectFailure(failure, 'invalid broker_name_wrong', 'RABBITMQ_SSL_SERVERNAME');
    const { port } = await startProxy();
    const other = await failureOf({ url: `amqps://127.0.0.2:${port.toString()}` });
    expectFailure(other, 'invalid broker_name_wrong', 'RABBITMQ_URL');
  });

  it('names the certificate of RabbitMQ, where that has expired', async () => {
    const folder = await newServiceFolder('expired-authority');
    const clock = { now: () => Date.now() - yearMs, monotonicMs: () => performance.now() };
    const files = { keyPath: join(folder, 'ca.key'), certificatePath: join(folder, 'ca.pem') };
    const authority = await openLocalAuthority({ ...files, create: true, clock });
    const { keyPem, certificatePem } = await createListenerCertificate(authority);
    const url = await tlsServer({ key: keyPem, cert: certificatePem }, (socket) => socket.destroy());
    const failure = await failureOf({ url, ...as({ ca: await authority.rootPem() }) });
    expectFailure(failure, 'invalid broker_certificate_expired', 'RABBITMQ_URL');
  });

  it('names the client certificate, where RabbitMQ does not know its authority', async () => {
    const failure = await failureOf({ tls: () => tlsOf(service, 'other-ca') });
    expectFailure(failure, 'invalid broker_client_ca_unknown', 'RABBITMQ_SSL_CERTFILE');
  });

  it('names the client certificate, where it has expired', async () => {
    const failure = await failureOf({ tls: () => tlsOf(service, 'expired') });
    expectFailure(failure, 'invalid broker_client_certificate_expired', 'RABBITMQ_SSL_CERTFILE');
  });

  it('names the client certificate, where it is one for servers, or none', async () => {
    const forServers = await failureOf({ tls: () => tlsOf(service, 'server') });
    expectFailure(forServers, 'invalid broker_client_certificate_refused', 'RABBITMQ_SSL_CERTFILE');
    const none = await failureOf({ tls: () => ({ ca: good.ca }) as RabbitMqTls });
    expectFailure(none, 'invalid broker_client_certificate_refused', 'RABBITMQ_SSL_CERTFILE');
  });

  it('says the same each time, though TLS 1.3 refuses a client after the handshake', async () => {
    const reasons = new Set<string>();
    for (let i = 0; i < 30; i++) reasons.add((await failureOf({ tls: () => tlsOf(service, 'other-ca') })).reason);
    expect([...reasons]).to.deep.equal(['broker_client_ca_unknown']);
  });

  it('names the client certificate, where RabbitMQ has no user of its name', async () => {
    const { certPath, keyPath } = await service.issue('nobody-knows');
    const cert = readFileSync(certPath, 'utf8');
    const key = readFileSync(keyPath, 'utf8');
    const failure = await failureOf(as({ cert, key }), linesOf(key));
    expectFailure(failure, 'forbidden broker_login_refused', 'RABBITMQ_SSL_CERTFILE');
  });

  it('names the virtual host, where it is not there', async () => {
    const failure = await failureOf({ url: `${service.url}/nowhere-${randomUUID()}` });
    expectFailure(failure, 'forbidden broker_vhost_refused', 'RABBITMQ_URL');
  });

  it('names the virtual host, where the user has no permission in it', async () => {
    const vhost = `closed-${randomUUID()}`;
    await service.createVhost(vhost);
    try {
      await callManagement(service, 'DELETE', ['permissions', vhost, 'writ-orchestrator']);
      const failure = await failureOf({ url: `${service.url}/${vhost}` });
      expectFailure(failure, 'forbidden broker_vhost_refused', 'RABBITMQ_URL');
    } finally {
      await service.deleteVhost(vhost);
    }
  });

  it('names certificate and key, where they do not belong together or cannot be read', async () => {
    const { key } = tlsOf(service, 'writ-consumer');
    const passphrase = 'a passphrase';
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString();
    const wrong: Partial<RabbitMqTls>[] = [
      { key },
      { key: encrypted },
      { key: encrypted, passphrase: 'another passphrase' },
      { key: encrypted, passphrase },
      { key: 'no key' },
      { cert: 'no certificate' },
    ];
    for (const changes of wrong) {
      const failure = await failureOf(as(changes), [passphrase, 'another passphrase', ...linesOf(encrypted)]);
      expectFailure(failure, 'invalid broker_client_key_wrong', 'RABBITMQ_SSL_KEYFILE');
    }
  });

  it('names the address, where what listens there does not speak TLS', async () => {
    const rubbish = await plainServer((socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', () => socket.write('500 what?\r\n'));
    });
    expectFailure(await failureOf({ url: rubbish }), 'invalid broker_no_tls', 'RABBITMQ_URL');
    const management = service.managementUrl.replace('http', 'amqps').replace('127.0.0.1', 'localhost');
    expectFailure(await failureOf({ url: management }), 'invalid broker_no_tls', 'RABBITMQ_URL');
  });

  it('names the address, where TLS there is older than 1.2', async () => {
    const { cert, key } = tlsOf(service, 'server');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    const url = await tlsServer({ cert, key, ...old }, () => undefined);
    expectFailure(await failureOf({ url }), 'invalid broker_no_tls', 'RABBITMQ_URL');
  });

  it('names the address, where what listens there speaks TLS and not AMQP', async () => {
    const { cert, key } = tlsOf(service, 'server');
    const answers = ['HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n', 'AMQP\u0000\u0001\u0000\u0000'];
    for (const answer of answers) {
      const url = await tlsServer({ cert, key }, (socket) => socket.end(answer));
      expectFailure(await failureOf({ url }), 'invalid broker_no_amqp', 'RABBITMQ_URL');
    }
  });

  it('gives up on what takes the connection and says nothing', async () => {
    const url = await plainServer(() => undefined);
    const startedMs = performance.now();
    expectFailure(await failureOf({ url }), 'unavailable broker_unreachable', 'RABBITMQ_URL');
    expect(performance.now() - startedMs).to.be.within(5_000, 15_000);
  });

  it('names the address, where nothing listens, nobody has that name, or the connection ends', async () => {
    const free = createServer();
    const nothing = await addressOf(free);
    await new Promise((resolve) => free.close(resolve));
    expectFailure(
      await failureOf({ url: nothing }),
      'unavailable broker_unreachable',
      'nothing listens at RABBITMQ_URL',
    );
    const nobody = await failureOf({ url: 'amqps://rabbitmq.invalid:5671' });
    expectFailure(nobody, 'unavailable broker_unreachable', 'the host in RABBITMQ_URL');
    const closing = await plainServer((socket) => socket.destroy());
    expectFailure(await failureOf({ url: closing }), 'unavailable broker_unreachable', 'ends the connection');
  });

  it('refuses addresses without TLS, with credentials, and that are none', async () => {
    const wrong = [
      'amqp://localhost:5672',
      'amqps://user:secret@localhost',
      'amqps://user@localhost',
      'localhost:5671',
    ];
    for (const url of [...wrong, 'amqps://localhost/%zz', '']) {
      const failure = await failureOf({ url }, ['secret']);
      expectFailure(failure, 'invalid broker_url_refused', 'RABBITMQ_URL');
    }
  });

  it('tries again what may pass, and is there when RabbitMQ is', async () => {
    const proxy = await startTcpProxy(service.port);
    try {
      proxy.break();
      const logged: string[] = [];
      const log = (event: string): void => void logged.push(event);
      const broker = await connect({ url: `amqps://localhost:${proxy.port.toString()}`, random: () => 0, log });
      expect(broker.failure?.code).to.equal('unavailable');
      expect((await broker.health()).ok).to.equal(false);
      proxy.mend();
      await eventually(async () => ((await broker.health()).ok ? true : undefined));
      expect(broker.failure).to.equal(undefined);
      expect(logged).to.deep.equal(['broker.unreachable', 'broker.connected']);
    } finally {
      await proxy.close();
    }
  });

  it('tries again also what somebody has to change, and takes a certificate that was renewed', async () => {
    let now = tlsOf(service, 'expired');
    const broker = await connect({ tls: () => now });
    expect(broker.failure?.reason).to.equal('broker_client_certificate_expired');
    now = good;
    await eventually(async () => ((await broker.health()).ok ? true : undefined));
  });

  /** On another address of this machine than the certificate's. */
  async function startProxy(): Promise<{ port: number }> {
    const server = createServer((socket) => {
      const far = new (socket.constructor as typeof Socket)().connect(service.port, '127.0.0.1');
      socket.on('error', () => far.destroy()).pipe(far);
      far.on('error', () => socket.destroy()).pipe(socket);
    });
    servers.push(server);
    server.listen(0, '127.0.0.2');
    await once(server, 'listening');
    return server.address() as AddressInfo;
  }
});

/** The lines of a PEM text that are nobody's business. */
function linesOf(pem: string): string[] {
  return pem.split('\n').filter((line) => line !== '' && !line.startsWith('-----'));
}
