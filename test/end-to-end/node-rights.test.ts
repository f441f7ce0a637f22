/** What a node that turns against its fleet can do on RabbitMQ itself, with the certificate that it was given. */

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import type { Broker, Delivery, OutgoingMessage, PublishOutcome } from '../../src/domain/broker.ts';
import { AppError } from '../../src/domain/error.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { nodeQueue, receiptsExchange, receiptsQueue } from '../../src/domain/queues.ts';
import { connectRabbitMq, type RabbitMqBroker } from '../../src/platform/broker/rabbitmq/rabbitmq-broker.ts';
import type { RabbitMqTls } from '../../src/platform/broker/rabbitmq/link.ts';
import type { Identity } from '../../src/worker/identity.ts';
import { realPartsMissing, testRabbitMq } from '../support/services.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

/** Answers of RabbitMQ's cache of rights are as old as this at most. */
const cacheMs = 5000;

interface Denial {
  reason: string;
  actor: { id: string; kind: string };
  data: { call: string; resource?: string; name?: string; permission?: string };
}

describe('a node on RabbitMQ', function () {
  this.timeout(120_000);
  let service: RabbitMqService;
  let vhost: string;
  let rig: Rig;
  let operator: Principal;
  let alpha: string;
  let beta: string;
  let isStarted = false;
  const open: RabbitMqBroker[] = [];

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await testRabbitMq();
    vhost = `rights-${randomUUID()}`;
    await service.createVhost(vhost);
    rig = await startRig({ real: { rabbitMq: service, vhost }, flags: { heartbeat_interval_s: 1 } });
    operator = await rig.principal('integration', ['operator']);
    alpha = (await rig.addNode('alpha')).nodeId;
    beta = (await rig.addNode('beta')).nodeId;
    isStarted = true;
  });

  after(async () => {
    if (!isStarted) return;
    const { problems } = await rig.atRest();
    await rig.stop();
    await service.deleteVhost(vhost);
    expect(problems).to.deep.equal([]);
  });

  afterEach(async () => {
    await Promise.all(open.splice(0).map((broker) => broker.close()));
  });

  /** What lies in the data folder of the node: whoever breaks into it has that. */
  function tlsOf(name: string): RabbitMqTls {
    const text = readFileSync(join(rig.folder, name, 'identity.json'), 'utf8');
    const { certificate, broker } = JSON.parse(text) as Identity;
    return { ca: broker.ca ?? '', cert: certificate?.chain ?? '', key: certificate?.key ?? '' };
  }

  async function connect(tls: RabbitMqTls, where = vhost): Promise<RabbitMqBroker> {
    const url = `amqps://localhost:${service.port.toString()}/${encodeURIComponent(where)}`;
    const broker = await connectRabbitMq({ url, tls: () => tls, name: 'test', random: () => 1, log: () => undefined });
    open.push(broker);
    return broker;
  }

  async function connectAlpha(): Promise<RabbitMqBroker> {
    const broker = await connect(tlsOf('alpha'));
    if (broker.failure !== undefined) throw broker.failure;
    return broker;
  }

  async function issued(commonName: string): Promise<RabbitMqTls> {
    const { certPath, keyPath } = await service.issue(commonName);
    const [ca, cert, key] = [service.caPath, certPath, keyPath].map((path) => readFileSync(path, 'utf8'));
    return { ca: ca ?? '', cert: cert ?? '', key: key ?? '' };
  }

  const reasonOf = async (call: Promise<unknown>): Promise<string> => {
    const failure: unknown = await call.catch((error: unknown) => error);
    return failure instanceof AppError ? failure.reason : 'allowed';
  };

  function message(exchange: string, routingKey: string): OutgoingMessage {
    const body = Buffer.from('a message of a node that turned');
    return { exchange, routingKey, body, messageId: randomUUID(), type: 'x', contentType: 'text/plain' };
  }

  const consume = (broker: Broker, queue: string, onDeliveries = (_: Delivery[]): void => undefined) =>
    broker.consume(queue, { prefetch: 10, onDeliveries, onCancelled: () => undefined });

  /** Denials in the log of one actor, which is never empty where something was denied. */
  async function denials(actor: string): Promise<Denial[]> {
    const { rows } = await rig.database.query<{ line: Buffer }>(
      `select line from audit_log where type = 'auth.deny' and actor = $1 order by seq`,
      [actor],
    );
    return rows.map(({ line }) => JSON.parse(line.toString()) as Denial);
  }

  async function expectDenied(resource: string, name: string, permission: string): Promise<void> {
    const found = await eventually(async () =>
      (await denials(alpha)).find(
        ({ data }) => data.resource === resource && data.name === name && data.permission === permission,
      ),
    ).catch(() => undefined);
    expect(found, `${permission} ${resource} ${name} is in the log`).to.deep.include({ reason: 'broker_permission' });
    expect(found?.actor).to.deep.equal({ id: alpha, kind: 'node' });
    expect(found?.data).to.include({ call: 'broker' });
  }

  it('takes orders from its own queue, and answers by the exchange of receipts', async () => {
    const items = Array.from({ length: 40 }, () => ({ tool: 'noop', action: 'run', payload: {} }));
    await rig.submit(operator, items);
    await rig.settled();
    const { rows } = await rig.database.query<{ node_id: string }>('select distinct node_id from results order by 1');
    expect(rows.map(({ node_id }) => node_id)).to.have.members([alpha, beta]);
    const broker = await connectAlpha();
    const consumer = await consume(broker, nodeQueue(alpha));
    await consumer.cancel();
    const [outcome] = await broker.publish([message(receiptsExchange, receiptsQueue)]);
    expect(outcome).to.deep.equal({ outcome: 'confirmed' });
    expect(await denials(alpha)).to.deep.equal([]);
  });

  for (const queue of ['beta', receiptsQueue, 'telemetry.events', 'telemetry.events.dlq']) {
    it(`may not read ${queue === 'beta' ? 'the queue of another node' : queue}`, async () => {
      const name = queue === 'beta' ? nodeQueue(beta) : queue;
      expect(await reasonOf(consume(await connectAlpha(), name))).to.equal('broker_forbidden');
      await expectDenied('queue', name, 'read');
    });
  }

  const elsewhere: [what: string, exchange: string, key: () => string, denied: string][] = [
    ['the queue of another node, by the default exchange', '', () => nodeQueue(beta), 'amq.default'],
    ['its own queue, by the default exchange', '', () => nodeQueue(alpha), 'amq.default'],
    ['the queue of receipts, by the default exchange', '', () => receiptsQueue, 'amq.default'],
    ['consumers of telemetry', 'spectrastrike.telemetry', () => 'telemetry.events', 'spectrastrike.telemetry'],
    ['an exchange of the broker’s own', 'amq.topic', () => 'x', 'amq.topic'],
  ];
  for (const [what, exchange, key, denied] of elsewhere) {
    it(`may not write to ${what}`, async () => {
      const broker = await connectAlpha();
      const before = [await depth(nodeQueue(beta)), rig.events.length];
      const outcome = await broker
        .publish([message(exchange, key())])
        .catch((error: unknown): PublishOutcome[] => [{ outcome: 'unconfirmed', reason: String(error) }]);
      expect(outcome[0]?.outcome).to.equal('unconfirmed');
      await expectDenied('exchange', denied, 'write');
      expect(await depth(nodeQueue(beta))).to.equal(before[0]);
      expect(JSON.stringify(rig.events)).to.not.include('a node that turned');
    });
  }

  function depth(queue: string): Promise<number> {
    return rig.broker.depth(queue);
  }

  it('reaches nobody but the orchestrators by the exchange of receipts, whatever the routing key', async () => {
    const broker = await connectAlpha();
    for (const key of [nodeQueue(beta), 'telemetry.events', '#', '']) {
      const [outcome] = await broker.publish([message(receiptsExchange, key)]);
      expect(outcome).to.deep.equal({ outcome: 'returned', reason: 'no_route' });
    }
  });

  it('may not make queues or exchanges, take them away, or tie them together', async () => {
    const broker = await connectAlpha();
    const none = { exchanges: [], queues: [], bindings: [] };
    const own = nodeQueue(alpha);
    const exchange = 'spectrastrike.telemetry';
    const acts: [act: () => Promise<unknown>, resource: string, name: string, permission: string][] = [
      [() => broker.declare({ ...none, queues: [{ name: 'mine', type: 'classic' }] }), 'queue', 'mine', 'configure'],
      [() => broker.declare({ ...none, queues: [{ name: own, type: 'classic' }] }), 'queue', own, 'configure'],
      [
        () => broker.declare({ ...none, exchanges: [{ name: 'mine', type: 'topic' }] }),
        'exchange',
        'mine',
        'configure',
      ],
      [() => broker.deleteQueue(own), 'queue', own, 'configure'],
      [() => broker.deleteQueue(nodeQueue(beta)), 'queue', nodeQueue(beta), 'configure'],
      [() => broker.deleteQueue(receiptsQueue), 'queue', receiptsQueue, 'configure'],
      [() => broker.declare({ ...none, bindings: [{ exchange, queue: own, pattern: '#' }] }), 'queue', own, 'write'],
    ];
    for (const [act, resource, name, permission] of acts) {
      expect(await reasonOf(act()), `${permission} ${resource} ${name}`).to.equal('broker_forbidden');
      await expectDenied(resource, name, permission);
    }
    expect(await rig.broker.depth(nodeQueue(beta)), 'the queue of the other is there').to.be.a('number');
  });

  it('gets in nowhere but in the virtual host of Writ', async () => {
    const other = `other-${randomUUID()}`;
    await service.createVhost(other);
    try {
      expect((await connect(tlsOf('alpha'), other)).failure?.reason).to.equal('broker_vhost_refused');
      await eventually(async () =>
        (await denials(alpha)).some(({ reason }) => reason === 'other_vhost') ? true : undefined,
      );
    } finally {
      await service.deleteVhost(other);
    }
  });

  for (const [what, commonName] of [
    ['an id of no node', '00000000-0000-7000-8000-0000000000ff'],
    ['no id', 'mallory'],
  ] as const) {
    it(`gets in by no certificate whose name is ${what}, whoever has signed it`, async () => {
      expect((await connect(await issued(commonName))).failure?.reason).to.equal('broker_login_refused');
      const [denial] = await eventually(async () => {
        const found = await denials(commonName);
        return found.length === 0 ? undefined : found;
      });
      expect(denial).to.include({ reason: 'unknown_node' });
    });
  }

  it('gets in by no password', async () => {
    const answer = await fetch(`${service.managementUrl}/api/whoami`, {
      headers: { authorization: `Basic ${Buffer.from(`${alpha}:anything`).toString('base64')}` },
    });
    expect(answer.status).to.equal(401);
    await eventually(async () =>
      (await denials(alpha)).some(({ reason }) => reason === 'password_login') ? true : undefined,
    );
  });

  it('does not get in again once it is quarantined', async () => {
    const { nodeId } = await rig.addNode('gamma');
    const tls = tlsOf('gamma');
    expect((await connect(tls)).failure).to.equal(undefined);
    await rig.database.query(`update nodes set status = 'quarantined' where node_id = $1`, [nodeId]);
    const startedMs = Date.now();
    await eventually(async () => {
      const broker = await connect(tls);
      const { failure } = broker;
      await broker.close();
      return failure?.reason === 'broker_login_refused' ? true : undefined;
    }, 30_000);
    expect(Date.now() - startedMs).to.be.below(cacheMs * 3);
    await eventually(async () =>
      (await denials(nodeId)).some(({ reason }) => reason === 'node_quarantined') ? true : undefined,
    );
  });
});
