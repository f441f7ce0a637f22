/** RabbitMQ goes away under a connection, or takes no messages: what its owner is told, and what is there again afterwards. */

import { randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import { freePorts } from '../../../../scripts/services/ports.ts';
import { startRabbitMq, type RabbitMqService } from '../../../../scripts/services/rabbitmq.ts';
import type { Delivery, Topology } from '../../../../src/domain/broker.ts';
import type { AppError } from '../../../../src/domain/error.ts';
import type { RabbitMqBroker } from '../../../../src/platform/broker/rabbitmq/rabbitmq-broker.ts';
import { collect, idsOf, message, send, uniqueName } from '../../../contract/broker-fixture.ts';
import { failureCode } from '../../../contract/failure-code.ts';
import { eventually } from '../../../end-to-end/eventually.ts';
import { connectTestRabbitMq } from '../../../support/rabbitmq-client.ts';
import { rabbitMqCtl, type ControlledServer } from '../../../support/rabbitmqctl.ts';
import { newServiceFolder, realPartsMissing, testRabbitMq } from '../../../support/services.ts';
import { startTcpProxy, type TcpProxy } from '../../../support/tcp-proxy.ts';

const mebibyte = 1024 * 1024;

describe('a connection to RabbitMQ in an outage', function () {
  this.timeout(90_000);
  let service: RabbitMqService;
  let vhost: string;
  let proxy: TcpProxy;
  let broker: RabbitMqBroker;
  /** Another process, whose connection nothing happens to. */
  let other: RabbitMqBroker;
  let logged: string[];

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await testRabbitMq();
  });
  beforeEach(async () => {
    vhost = `outage-${randomUUID()}`;
    await service.createVhost(vhost, { anyName: true });
    proxy = await startTcpProxy(service.port);
    logged = [];
    const log = (event: string): void => void logged.push(event);
    broker = await connectTestRabbitMq({ service, vhost, port: proxy.port, options: { log, random: () => 0.1 } });
    other = await connectTestRabbitMq({ service, vhost });
  });
  afterEach(async () => {
    await Promise.all([broker.close(), other.close()]);
    await proxy.close();
    await service.deleteVhost(vhost);
  });

  async function returned(times = 1): Promise<void> {
    await eventually(() => (logged.filter((event) => event === 'broker.connected').length > times ? true : undefined));
  }

  /** RabbitMQ closes those of its connections that it counts by now, and fails where one of them ends meanwhile. */
  async function severed(times: number): Promise<void> {
    await eventually(async () => {
      await service.closeConnections('writ-orchestrator').catch(() => undefined);
      return logged.filter((event) => event === 'broker.lost').length >= times ? true : undefined;
    });
  }

  function queueOnly(name: string): Topology {
    return { exchanges: [], queues: [{ name, type: 'quorum' }], bindings: [] };
  }

  it('comes back after RabbitMQ has closed it, as often as that happens', async () => {
    const queue = uniqueName('queue');
    await broker.declare(queueOnly(queue));
    for (const times of [1, 2, 3]) {
      await severed(times);
      await returned(times);
      expect((await send(broker, queue, `after ${times.toString()}`))[0]?.outcome).to.equal('confirmed');
    }
    expect(logged.slice(0, 3)).to.deep.equal(['broker.connected', 'broker.lost', 'broker.connected']);
  });

  it('tells consumers once, and they begin anew with what they had not acknowledged', async () => {
    const queue = uniqueName('queue');
    await broker.declare(queueOnly(queue));
    const told: string[] = [];
    const arrived: Delivery[] = [];
    const onDeliveries = (deliveries: Delivery[]): void => void arrived.push(...deliveries);
    const onCancelled = (reason: string): void => void told.push(reason);
    const before = await broker.consume(queue, { prefetch: 10, onDeliveries, onCancelled });
    await send(broker, queue, 'a', 'b');
    const [a, b] = await eventually(() => (arrived.length === 2 ? arrived : undefined));
    before.ack([a!]);
    await broker.depth(queue);
    await severed(1);
    expect(await failureCode(() => before.ack([b!]))).to.equal('unavailable');
    await returned();
    const again = await collect(broker, queue, 10);
    await send(broker, queue, 'c');
    const got = await again.next(2);
    expect(got.map(({ messageId, redelivered }) => [messageId, redelivered])).to.deep.equal([
      ['b', true],
      ['c', false],
    ]);
    again.consumer.ack(got);
    expect(told).to.deep.equal(['connection_lost']);
    expect(idsOf(arrived), 'the old consumer gets nothing more').to.deep.equal(['a', 'b']);
  });

  it('declares again what somebody has deleted meanwhile, and not what was declared once', async () => {
    const [kept, once] = [uniqueName('kept'), uniqueName('once')];
    const exchange = uniqueName('exchange');
    const bindings = [{ exchange, queue: kept, pattern: 'key' }];
    await broker.declare({ ...queueOnly(kept), exchanges: [{ name: exchange, type: 'direct' }], bindings });
    await broker.declare(queueOnly(once), { once: true });
    await other.deleteQueue(kept);
    await other.deleteQueue(once);
    proxy.cut();
    await returned();
    expect(await broker.depth(kept)).to.equal(0);
    expect(await failureCode(() => broker.depth(once))).to.equal('not_found');
    const bound = message('key', 'by its binding', { exchange });
    expect((await broker.publish([bound]))[0]?.outcome).to.equal('confirmed');
    expect(idsOf(await (await collect(other, kept)).next(1))).to.deep.equal(['by its binding']);
  });

  it('fails publishes while it is away, at once, and keeps nothing of them', async () => {
    const queue = uniqueName('queue');
    await broker.declare(queueOnly(queue));
    proxy.break();
    await eventually(async () => ((await broker.health()).ok ? undefined : true));
    const body = Buffer.alloc(10_000, 'x');
    const publish = (i: number): Promise<unknown> => broker.publish([message(queue, i.toString(), { body })]);
    await Promise.all(Array.from({ length: 100 }, (_, i) => failureCode(() => publish(i))));
    const beforeBytes = await usedBytes();
    const codes = new Set<string>();
    for (let i = 0; i < 10_000; i++) codes.add(await failureCode(() => publish(i)));
    expect([...codes]).to.deep.equal(['unavailable']);
    expect((await usedBytes()) - beforeBytes).to.be.below(2 * mebibyte);
    proxy.mend();
    await returned();
    expect(await broker.depth(queue), 'nothing of it arrives late').to.equal(0);
  });

  it('says of messages on their way that they are not confirmed, and lets go of them', async () => {
    const queue = uniqueName('queue');
    await broker.declare(queueOnly(queue));
    const cutWhilePublishing = async (round: number): Promise<void> => {
      const bodies = Array.from({ length: 1000 }, () => Buffer.alloc(10_000, 'y'));
      const published = broker.publish(bodies.map((body, i) => message(queue, i.toString(), { body })));
      proxy.break();
      const outcomes = new Set((await published).map(({ outcome }) => outcome));
      expect([...outcomes].filter((outcome) => outcome !== 'confirmed')).to.deep.equal(['unconfirmed']);
      proxy.mend();
      await returned(round);
    };
    const beforeBytes = await usedBytes();
    for (let round = 1; round <= 3; round++) await cutWhilePublishing(round);
    expect((await usedBytes()) - beforeBytes).to.be.below(5 * mebibyte);
  });
});

describe('a RabbitMQ that is short of memory', function () {
  this.timeout(120_000);
  let service: RabbitMqService;
  let server: ControlledServer;
  let broker: RabbitMqBroker;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    const [epmd] = await freePorts(1);
    server = { dir: await newServiceFolder('rabbitmq'), epmdPort: epmd! };
    service = await startRabbitMq({ dir: server.dir, ports: { epmd: epmd! } });
    await service.createVhost('blocked', { anyName: true });
    broker = await connectTestRabbitMq({ service, vhost: 'blocked' });
  });
  after(async () => {
    await broker.close();
    await service.stop();
  });

  it('lets publishes fail until it has memory again, and then confirms what it had in hand', async () => {
    const queue = uniqueName('queue');
    await broker.declare({ exchanges: [], queues: [{ name: queue, type: 'quorum' }], bindings: [] });
    await rabbitMqCtl(server, ['set_vm_memory_high_watermark', '0.0001']);
    // RabbitMQ says so to whoever publishes: what it says it to waits for its confirm.
    const waiting = send(broker, queue, 'in hand');
    const blocked = await eventually(async () => {
      const { ok, detail } = await broker.health();
      return ok ? undefined : detail;
    });
    expect(blocked).to.match(/^takes no messages: low on memory/);
    const failure = await send(broker, queue, 'refused').then(
      () => undefined,
      (error: unknown) => error as AppError,
    );
    expect([failure?.code, failure?.reason]).to.deep.equal(['unavailable', 'broker_blocked']);
    await rabbitMqCtl(server, ['set_vm_memory_high_watermark', '0.8']);
    expect((await waiting)[0]?.outcome).to.equal('confirmed');
    await eventually(async () => ((await broker.health()).ok ? true : undefined));
    expect((await send(broker, queue, 'after'))[0]?.outcome).to.equal('confirmed');
    const got = await (await collect(broker, queue)).next(2);
    expect(idsOf(got)).to.deep.equal(['in hand', 'after']);
  });
});

/** What the process holds after what it does not need was taken away. */
async function usedBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
