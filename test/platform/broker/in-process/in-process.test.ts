/** The in-process broker: the contract of every broker, and what is its own. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { InProcessBrokerServer } from '../../../../src/platform/broker/in-process/in-process.ts';
import { brokerContract } from '../../../contract/broker.ts';
import { collect, idsOf, makeQueue, message, outcomesOf, send } from '../../../contract/broker-fixture.ts';
import { failureCode } from '../../../contract/failure-code.ts';

brokerContract('the in-process broker', () => {
  const server = new InProcessBrokerServer();
  return Promise.resolve({
    connect: () => Promise.resolve(server.connect()),
    sever: (broker) => {
      server.sever(broker);
      return Promise.resolve();
    },
    stop: () => {
      server.close();
      return Promise.resolve();
    },
  });
});

describe('the in-process broker', () => {
  it('leaves a publish unconfirmed when the connection is closed before its confirm', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker);
    const open = send(broker, queue, 'a', 'b');
    await broker.close();
    expect(outcomesOf(await open)).to.deep.equal(['unconfirmed', 'unconfirmed']);
    expect(await server.connect().depth(queue)).to.equal(2);
    server.close();
  });

  it('hands over in one call what came in one turn', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker);
    const { next, batchSizes } = await collect(broker, queue, 1000);
    void send(broker, queue, 'a', 'b');
    void send(broker, queue, 'c');
    await next(3);
    expect(batchSizes).to.deep.equal([3]);
    server.close();
  });

  it('refuses publishes over its memory, and takes them again when messages are gone', async () => {
    const server = new InProcessBrokerServer({ memoryMaxBytes: 4096 });
    const broker = server.connect();
    const queue = await makeQueue(broker);
    const large = (id: string) => message(queue, id, { body: Buffer.alloc(3000) });
    const outcomes = await broker.publish([large('a'), large('b')]);
    expect(outcomes).to.deep.equal([{ outcome: 'confirmed' }, { outcome: 'refused', reason: 'memory' }]);
    const { next, consumer } = await collect(broker, queue);
    consumer.ack(await next(1));
    expect(server.memoryBytes).to.equal(0);
    expect(outcomesOf(await broker.publish([large('c')]))).to.deep.equal(['confirmed']);
    server.close();
    expect(server.memoryBytes).to.equal(0);
  });

  it('counts a message once however many queues hold it, and frees it with the last', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queues = [await makeQueue(broker), await makeQueue(broker)] as const;
    await broker.declare({
      exchanges: [{ name: 'x', type: 'topic' }],
      queues: [],
      bindings: queues.map((queue) => ({ exchange: 'x', queue, pattern: '#' })),
    });
    await broker.publish([message('any', 'a', { exchange: 'x', body: Buffer.alloc(1000) })]);
    expect(server.memoryBytes).to.be.within(1000, 1999);
    const { next, consumer } = await collect(broker, queues[0]);
    consumer.ack(await next(1));
    expect(server.memoryBytes).to.be.within(1000, 1999);
    await broker.deleteQueue(queues[1]);
    expect(server.memoryBytes).to.equal(0);
    server.close();
  });

  it('frees the memory of a deleted queue, what is out with its consumers included', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker);
    await send(broker, queue, 'a', 'b');
    const { next, consumer, cancelled } = await collect(broker, queue, 1);
    const out = await next(1);
    await broker.deleteQueue(queue);
    await cancelled;
    expect(server.memoryBytes).to.equal(0);
    consumer.ack(out);
    expect(server.memoryBytes).to.equal(0);
    server.close();
  });

  it('frees the memory of dead letters that nobody takes', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker, { deadLetterExchange: '', deadLetterRoutingKey: 'nowhere' });
    await send(broker, queue, 'a');
    const { next, consumer } = await collect(broker, queue);
    consumer.reject(await next(1), { requeue: false });
    await send(broker, queue, 'b');
    consumer.ack(await next(1));
    expect(server.memoryBytes).to.equal(0);
    server.close();
  });

  it('keeps the dead letters of a quorum queue over the length of their queue, and drops those of a classic one', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    for (const [type, kept] of [
      ['quorum', 2],
      ['classic', 1],
    ] as const) {
      const dead = await makeQueue(broker, { maxLength: 1 });
      const queue = await makeQueue(broker, { type, deadLetterExchange: '', deadLetterRoutingKey: dead });
      await send(broker, queue, 'a', 'b');
      const { next, consumer } = await collect(broker, queue);
      consumer.reject(await next(2), { requeue: false });
      await send(broker, queue, 'c');
      await next(1);
      expect(await broker.depth(dead), type).to.equal(kept);
    }
    server.close();
  });

  it('ends messages by the clock it is given', async () => {
    let nowMs = 0;
    const server = new InProcessBrokerServer({ clock: { now: () => nowMs, monotonicMs: () => nowMs } });
    const broker = server.connect();
    const queue = await makeQueue(broker, { messageTtlMs: 3_600_000 });
    await send(broker, queue, 'a');
    nowMs = 3_599_999;
    await broker.publish([message(queue, 'b', { expirationMs: 0 })]);
    expect(await broker.depth(queue), 'b waits behind the younger end of a').to.equal(2);
    nowMs = 3_600_000;
    expect(await broker.depth(queue)).to.equal(0);
    server.close();
  });

  it('gives a message that expires at once to a consumer that waits', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker);
    const { next } = await collect(broker, queue);
    await broker.publish([message(queue, 'a', { expirationMs: 0 })]);
    expect(idsOf(await next(1))).to.deep.equal(['a']);
    server.close();
  });

  it('gives a message back once when a connection with several consumers ends', async () => {
    const server = new InProcessBrokerServer();
    const [dying, heir] = [server.connect(), server.connect()];
    const queue = await makeQueue(heir, { type: 'quorum', deliveryLimit: 1 });
    const consumers = [await collect(dying, queue, 1), await collect(dying, queue, 1), await collect(dying, queue, 1)];
    await send(heir, queue, 'a', 'b', 'c');
    await Promise.all(consumers.map(({ next }) => next(1)));
    server.sever(dying);
    expect(idsOf(await (await collect(heir, queue)).next(3))).to.deep.equal(['a', 'b', 'c']);
    server.close();
  });

  it('does not count a consumer that took its leave against the delivery limit', async () => {
    const server = new InProcessBrokerServer();
    const broker = server.connect();
    const queue = await makeQueue(broker, { type: 'quorum', deliveryLimit: 0 });
    await send(broker, queue, 'a');
    for (let turn = 0; turn < 3; turn++) {
      const { next, consumer } = await collect(broker, queue);
      expect(idsOf(await next(1))).to.deep.equal(['a']);
      await consumer.cancel();
    }
    server.close();
  });

  it('refuses names and arguments that RabbitMQ refuses', async () => {
    const broker = new InProcessBrokerServer().connect();
    const refused = [
      { exchanges: [{ name: '', type: 'topic' as const }], queues: [], bindings: [] },
      { exchanges: [{ name: 'amq.mine', type: 'topic' as const }], queues: [], bindings: [] },
      { exchanges: [], queues: [{ name: 'q'.repeat(256), type: 'classic' as const }], bindings: [] },
      { exchanges: [], queues: [{ name: 'q', type: 'classic' as const, deliveryLimit: 1 }], bindings: [] },
      { exchanges: [], queues: [{ name: 'q', type: 'classic' as const, maxLength: -1 }], bindings: [] },
      { exchanges: [], queues: [{ name: 'q', type: 'classic' as const, deadLetterRoutingKey: 'k' }], bindings: [] },
    ];
    for (const topology of refused) expect(await failureCode(() => broker.declare(topology))).to.equal('invalid');
  });
});
