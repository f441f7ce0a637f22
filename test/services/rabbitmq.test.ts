/** The RabbitMQ of `rabbitmq/` lets in whom it should, to what they should have, and nobody else. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { randomUUID } from 'node:crypto';
import type { ChannelModel, Channel } from 'amqplib';
import { expect } from 'chai';
import type { CertificateName } from '../../scripts/services/certificates.ts';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import { realPartsMissing, testRabbitMq } from '../support/services.ts';
import { amqp, greetingOverTcp, greetingOverTls, mechanisms } from './clients.ts';

const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } };
const DEAD_LETTERED = {
  durable: true,
  arguments: {
    'x-queue-type': 'quorum',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': 'telemetry.events.dlq',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  },
};
/** More than RabbitMQ 4 allows a quorum queue of which nothing else is said. */
const REDELIVERIES = 30;
const NODE = '01999999-0000-7000-8000-000000000001';

describe('RabbitMQ', () => {
  let service: RabbitMqService;
  let vhost: string;
  const open: ChannelModel[] = [];

  before(async function () {
    this.timeout(90_000);
    if (realPartsMissing() !== undefined) this.skip();
    service = await testRabbitMq();
  });
  beforeEach(async () => {
    vhost = `test-${randomUUID()}`;
    await service.createVhost(vhost);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((connection) => connection.close().catch(() => undefined)));
    await service.deleteVhost(vhost);
  });

  async function channel(name: CertificateName): Promise<Channel> {
    const connection = await amqp(service, service.certificate(name), vhost);
    open.push(connection);
    return watched(await connection.createChannel());
  }

  async function refused(name: CertificateName, act: (channel: Channel) => Promise<unknown>): Promise<void> {
    expect(await outcome(act(await channel(name)))).to.match(/ACCESS.REFUSED/);
  }

  describe('the way in', () => {
    it('is TLS on the loopback interface alone', async () => {
      const { listeners } = (await managed(service, 'overview')) as { listeners: { protocol: string; port: number }[] };
      const protocols = listeners.map(({ protocol }) => protocol).sort();
      expect(protocols).to.deep.equal(['amqp/ssl', 'clustering', 'http', 'http/prometheus']);
      for (const { port } of listeners) expect(await listeningAddresses(port)).to.deep.equal(['127.0.0.1']);
    });

    it('refuses a client that does not speak TLS', async () => {
      const answer = await greetingOverTcp(service.port).catch(() => 'refused');
      // At most a TLS alert (RFC 8446 §5.1: type 21), never a frame of AMQP.
      expect(typeof answer === 'string' || answer[0] === 21).to.equal(true);
    });

    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      it(`refuses a client without a certificate, of an unknown authority, or expired (${maxVersion})`, async () => {
        const files = [undefined, service.certificate('other-ca'), service.certificate('expired')];
        for (const file of files) {
          const identity = file && { cert: await readFile(file.certPath), key: await readFile(file.keyPath) };
          expect(await outcome(greetingOverTls(service, { ...identity, maxVersion }))).to.match(
            /alert|ECONNRESET|closed/,
          );
        }
        const { certPath, keyPath } = service.certificate('writ-orchestrator');
        const identity = { cert: await readFile(certPath), key: await readFile(keyPath) };
        expect(mechanisms(await greetingOverTls(service, { ...identity, maxVersion }))).to.equal('EXTERNAL');
      });
    }

    it('refuses TLS before 1.2', async () => {
      const { certPath, keyPath } = service.certificate('writ-orchestrator');
      const identity = { cert: await readFile(certPath), key: await readFile(keyPath) };
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      expect(await outcome(greetingOverTls(service, { ...identity, ...old }))).to.match(/protocol version/);
    });

    it('knows the users of its definitions and no guest', async () => {
      const users = (await managed(service, 'users')) as { name: string; password_hash: string }[];
      expect(users.map(({ name }) => name).sort()).to.deep.equal(['manager', 'writ-consumer', 'writ-orchestrator']);
      expect(users.filter(({ password_hash }) => password_hash !== '').map(({ name }) => name)).to.deep.equal([
        'manager',
      ]);
    });
  });

  describe('an orchestrator', () => {
    it('declares what Writ needs, dead-lettering included', async () => {
      const mine = await channel('writ-orchestrator');
      await declareAll(mine);
      await mine.assertQueue(`writ.node.${NODE}`, { durable: true });
      mine.sendToQueue(`writ.node.${NODE}`, Buffer.from('manifest'));
      expect(await mine.checkQueue(`writ.node.${NODE}`)).to.have.property('queue', `writ.node.${NODE}`);
      await mine.deleteQueue(`writ.node.${NODE}`);
      await mine.consume('writ.receipts', () => undefined);
    });

    it('is refused what is not of Writ, and the orders of nodes', async () => {
      await (await channel('writ-orchestrator')).assertQueue(`writ.node.${NODE}`, { durable: true });
      await refused('writ-orchestrator', (mine) => mine.assertQueue('anything'));
      await refused('writ-orchestrator', (mine) => mine.assertQueue('writ.node.anything'));
      await refused('writ-orchestrator', (mine) => mine.assertExchange('anything', 'topic'));
      await refused('writ-orchestrator', (mine) => mine.consume(`writ.node.${NODE}`, () => undefined));
      await refused('writ-orchestrator', (mine) => publishFails(mine, 'amq.topic', 'telemetry.events'));
    });

    it('gets a receipt again as often as it hands it back', async () => {
      const mine = await channel('writ-orchestrator');
      await mine.assertQueue('writ.receipts', QUORUM);
      mine.sendToQueue('writ.receipts', Buffer.from('receipt'));
      const delivered = new Promise<void>((resolve) => {
        let count = 0;
        void mine.consume('writ.receipts', (message) => {
          count += 1;
          if (count > REDELIVERIES) resolve();
          else mine.nack(message!, false, true);
        });
      });
      await delivered;
      const policies = (await managed(service, `policies/${vhost}`)) as { pattern: string; definition: object }[];
      expect(policies.map(({ pattern, definition }) => ({ pattern, definition }))).to.deep.equal([
        { pattern: '^writ\\.receipts$', definition: { 'delivery-limit': 1_000_000_000 } },
      ]);
    });

    it('may not send more than 16 MiB at once', async () => {
      const mine = await channel('writ-orchestrator');
      await mine.assertQueue('writ.receipts', QUORUM);
      mine.sendToQueue('writ.receipts', Buffer.alloc(16 * 1024 * 1024));
      await mine.checkQueue('writ.receipts');
      const ended = new Promise<Error>((resolve) => void mine.once('error', resolve));
      mine.sendToQueue('writ.receipts', Buffer.alloc(16 * 1024 * 1024 + 1));
      expect((await ended).message).to.match(/PRECONDITION.FAILED.*larger/i);
    });
  });

  describe('a consumer', () => {
    beforeEach(async () => {
      await declareAll(await channel('writ-orchestrator'));
    });

    it('reads events, and what it rejects is dead-lettered', async () => {
      (await channel('writ-orchestrator')).publish('spectrastrike.telemetry', 'telemetry.events', Buffer.from('event'));
      const theirs = await channel('writ-consumer');
      const first = await next(theirs, 'telemetry.events');
      theirs.nack(first, false, false);
      const dead = await next(theirs, 'telemetry.events.dlq');
      expect(dead.content.toString()).to.equal('event');
      theirs.ack(dead);
    });

    it('is refused everything else', async () => {
      await refused('writ-consumer', (theirs) => theirs.consume('writ.receipts', () => undefined));
      await refused('writ-consumer', (theirs) => theirs.assertQueue('telemetry.mine'));
      await refused('writ-consumer', (theirs) => theirs.assertExchange('mine', 'topic'));
      await refused('writ-consumer', (theirs) => theirs.deleteQueue('telemetry.events'));
      await refused('writ-consumer', (theirs) => theirs.bindQueue('telemetry.batches', 'spectrastrike.telemetry', '#'));
      await refused('writ-consumer', (theirs) => publishFails(theirs, 'spectrastrike.telemetry', 'telemetry.events'));
      await refused('writ-consumer', (theirs) => publishFails(theirs, '', 'writ.receipts'));
    });
  });

  describe('a node', () => {
    const asked: string[] = [];
    let door: Server;

    beforeEach(async () => {
      asked.length = 0;
      door = await answering(service.nodeAuthPort, (path, form) => {
        asked.push(`${path} ${['username', 'resource', 'name', 'permission'].map((name) => form.get(name)).join(' ')}`);
        if (form.get('username') !== NODE) return false;
        return path !== '/rabbitmq/resource' || form.get('name') === `writ.node.${NODE}`;
      });
    });
    afterEach(async () => {
      door.closeAllConnections();
      await new Promise((resolve) => door.close(resolve));
    });

    it('is let in by an orchestrator, to what that allows', async () => {
      await (await channel('writ-orchestrator')).assertQueue(`writ.node.${NODE}`, { durable: true });
      const connection = await amqp(service, await service.issue(NODE), vhost);
      open.push(connection);
      await (await connection.createChannel()).consume(`writ.node.${NODE}`, () => undefined);
      const elsewhere = watched(await connection.createChannel());
      expect(await outcome(publishFails(elsewhere, '', 'writ.receipts'))).to.match(/ACCESS.REFUSED/);
      expect([...new Set(asked)]).to.deep.equal([
        `/rabbitmq/user ${NODE}   `,
        `/rabbitmq/vhost ${NODE}   `,
        `/rabbitmq/resource ${NODE} queue writ.node.${NODE} read`,
        `/rabbitmq/resource ${NODE} exchange amq.default write`,
      ]);
    });

    it('is kept out when it is not known, and when no orchestrator answers', async () => {
      expect(await outcome(amqp(service, await service.issue(randomUUID()), vhost))).to.match(/ACCESS.REFUSED|403/);
      door.closeAllConnections();
      await new Promise((resolve) => door.close(resolve));
      const late = randomUUID();
      expect(await outcome(amqp(service, await service.issue(late), vhost))).to.match(/ACCESS.REFUSED|403/);
    });
  });

  it('severs the connections of one user', async () => {
    const theirs = await amqp(service, service.certificate('writ-consumer'), vhost);
    const mine = await channel('writ-orchestrator');
    const closed = new Promise((resolve) => void theirs.once('close', resolve));
    await service.closeConnections('writ-consumer');
    await closed;
    await mine.assertQueue('writ.receipts', QUORUM);
  });
});

async function declareAll(channel: Channel): Promise<void> {
  await channel.assertExchange('writ.receipts', 'direct');
  await channel.assertQueue('writ.receipts', QUORUM);
  await channel.bindQueue('writ.receipts', 'writ.receipts', 'writ.receipts');
  await channel.assertExchange('spectrastrike.telemetry', 'topic');
  await channel.assertQueue('telemetry.events.dlq', QUORUM);
  for (const name of ['telemetry.events', 'telemetry.batches']) {
    await channel.assertQueue(name, DEAD_LETTERED);
    await channel.bindQueue(name, 'spectrastrike.telemetry', name);
  }
}

/** A channel whose errors are those of its calls. */
function watched(channel: Channel): Channel {
  return channel.on('error', () => undefined);
}

/** A publish is not answered: that it was refused shows by the end of the channel. */
async function publishFails(channel: Channel, exchange: string, key: string): Promise<unknown> {
  const ended = new Promise((_resolve, reject) => void channel.once('error', reject));
  channel.publish(exchange, key, Buffer.from('x'));
  return ended;
}

async function next(channel: Channel, queue: string) {
  return new Promise<NonNullable<Parameters<Parameters<Channel['consume']>[1]>[0]>>((resolve, reject) => {
    channel.consume(queue, (message) => message !== null && resolve(message)).catch(reject);
  });
}

/** `done`, or why not. */
async function outcome(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'done',
    (error: unknown) => `${(error as { code?: string }).code ?? ''} ${(error as Error).message}`,
  );
}

async function managed(service: RabbitMqService, path: string): Promise<unknown> {
  const { managementUrl, managementUser, managementPassword } = service;
  const authorization = `Basic ${Buffer.from(`${managementUser}:${managementPassword}`).toString('base64')}`;
  const response = await fetch(`${managementUrl}/api/${path}`, { headers: { authorization } });
  return response.json();
}

/** Of this machine's sockets that listen on the port, IPv4 as such and IPv6 as the kernel writes it (proc_net(5)). */
async function listeningAddresses(port: number): Promise<string[]> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  const LISTENING = '0A';
  return tables
    .flatMap((table) => table.trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === LISTENING && Number.parseInt(local!.split(':')[1]!, 16) === port)
    .map(([, local]) => (local!.startsWith('0100007F:') ? '127.0.0.1' : local!));
}

/** Answers RabbitMQ's questions as an orchestrator does. */
async function answering(port: number, isAllowed: (path: string, form: URLSearchParams) => boolean): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
      response.end(isAllowed(request.url ?? '', form) ? 'allow' : 'deny');
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return server;
}
