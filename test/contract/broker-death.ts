/** Contract of `Broker`: expiry, delivery limit, dead-lettering and its history. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Broker, QueueSpec } from '../../src/domain/broker.ts';
import { collect, idsOf, makeQueue, message, send, uniqueName, type BrokerPair } from './broker-fixture.ts';

/** Short enough to wait for. */
const ttlMs = 50;

/** A queue whose dead letters go to another, both under unique names. */
async function makeMortal(broker: Broker, changes: Partial<QueueSpec> = {}): Promise<{ queue: string; dead: string }> {
  const dead = await makeQueue(broker);
  const queue = await makeQueue(broker, { deadLetterExchange: '', deadLetterRoutingKey: dead, ...changes });
  return { queue, dead };
}

export function deathContract(pair: () => BrokerPair): void {
  describe('dead-lettering', () => {
    it('takes what is rejected without requeue, with its history, by the exchange and key of the queue', async () => {
      const { broker } = pair();
      const exchange = uniqueName('dead');
      const dead = await makeQueue(broker);
      await broker.declare({
        exchanges: [{ name: exchange, type: 'topic' }],
        queues: [],
        bindings: [{ exchange, queue: dead, pattern: 'buried.#' }],
      });
      const queue = await makeQueue(broker, {
        type: 'quorum',
        deadLetterExchange: exchange,
        deadLetterRoutingKey: 'buried.here',
      });
      await broker.publish([message(queue, 'a', { headers: { 'x-name': 'kept' } })]);
      const { next, consumer } = await collect(broker, queue);
      consumer.reject(await next(1), { requeue: false });
      const [letter] = await (await collect(broker, dead)).next(1);
      expect(letter).to.include({ messageId: 'a', exchange, routingKey: 'buried.here', redelivered: false });
      expect(letter?.headers).to.include({ 'x-name': 'kept' });
      expect(letter?.deaths).to.deep.equal([{ queue, reason: 'rejected', count: 1 }]);
    });

    it('keeps the routing key where the queue names none', async () => {
      const { broker } = pair();
      const exchange = uniqueName('dead');
      const queue = await makeQueue(broker, { deadLetterExchange: exchange });
      const dead = await makeQueue(broker);
      await broker.declare({
        exchanges: [{ name: exchange, type: 'direct' }],
        queues: [],
        bindings: [{ exchange, queue: dead, pattern: queue }],
      });
      await send(broker, queue, 'a');
      const { next, consumer } = await collect(broker, queue);
      consumer.reject(await next(1), { requeue: false });
      const [letter] = await (await collect(broker, dead)).next(1);
      expect(letter).to.include({ exchange, routingKey: queue });
    });

    it('counts deaths by queue and reason, the newest first, and lets rejected messages go in circles', async () => {
      const { broker } = pair();
      const name = uniqueName('circle');
      const queue = { name, type: 'classic', deadLetterExchange: '', deadLetterRoutingKey: name } as const;
      await broker.declare({ exchanges: [], queues: [queue], bindings: [] });
      await send(broker, name, 'a');
      const { next, consumer } = await collect(broker, name);
      for (let count = 1; count <= 3; count++) {
        consumer.reject(await next(1), { requeue: false });
      }
      const [last] = await next(1);
      expect(last?.deaths).to.deep.equal([{ queue: name, reason: 'rejected', count: 3 }]);
    });

    it('drops a message that would go in a circle with nobody rejecting it', async () => {
      const { broker } = pair();
      const exchange = uniqueName('dead');
      const queue = await makeQueue(broker, {
        messageTtlMs: ttlMs,
        deadLetterExchange: exchange,
        deadLetterRoutingKey: 'x',
      });
      const witness = await makeQueue(broker);
      await broker.declare({
        exchanges: [{ name: exchange, type: 'direct' }],
        queues: [],
        bindings: [queue, witness].map((bound) => ({ exchange, queue: bound, pattern: 'x' })),
      });
      const { next } = await collect(broker, witness);
      await send(broker, queue, 'a');
      const [first] = await next(1);
      await send(broker, queue, 'b');
      const [second] = await next(1);
      expect([first, second].map((letter) => letter?.messageId)).to.deep.equal(['a', 'b']);
      expect(second?.deaths).to.deep.equal([{ queue, reason: 'expired', count: 1 }]);
    });

    it('gives up on a message that came back more often than the delivery limit', async () => {
      const { broker } = pair();
      const { queue, dead } = await makeMortal(broker, { type: 'quorum', deliveryLimit: 2 });
      await send(broker, queue, 'a', 'b');
      const { next, consumer } = await collect(broker, queue, 1);
      for (let delivered = 0; delivered < 3; delivered++) {
        const deliveries = await next(1);
        expect(idsOf(deliveries)).to.deep.equal(['a']);
        consumer.reject(deliveries, { requeue: true });
      }
      expect(idsOf(await next(1))).to.deep.equal(['b']);
      const [letter] = await (await collect(broker, dead)).next(1);
      expect(letter?.messageId).to.equal('a');
      expect(letter?.deaths).to.deep.equal([{ queue, reason: 'delivery_limit', count: 1 }]);
    });
  });

  describe('expiry', () => {
    it("ends a message after the queue's time, and one with a time of its own before", async () => {
      const { broker } = pair();
      const { queue, dead } = await makeMortal(broker, { messageTtlMs: 60_000 });
      await broker.publish([message(queue, 'a', { expirationMs: ttlMs }), message(queue, 'b')]);
      const [letter] = await (await collect(broker, dead)).next(1);
      expect(letter?.messageId).to.equal('a');
      expect(letter?.deaths).to.deep.equal([{ queue, reason: 'expired', count: 1 }]);
      expect(await broker.depth(queue)).to.equal(1);
    });

    it('ends what a queue of that time holds, in order, of either type', async () => {
      const { broker } = pair();
      for (const type of ['classic', 'quorum'] as const) {
        const { queue, dead } = await makeMortal(broker, { type, messageTtlMs: ttlMs });
        await send(broker, queue, 'a', 'b', 'c');
        expect(idsOf(await (await collect(broker, dead)).next(3))).to.deep.equal(['a', 'b', 'c']);
        expect(await broker.depth(queue)).to.equal(0);
      }
    });

    it('does not end what is out with a consumer, but what comes back too late', async () => {
      const { broker } = pair();
      const { queue, dead } = await makeMortal(broker, { messageTtlMs: ttlMs });
      const { next, consumer } = await collect(broker, queue, 1);
      const letters = await collect(broker, dead);
      await send(broker, queue, 'a');
      const out = await next(1);
      await send(broker, queue, 'b');
      expect(idsOf(await letters.next(1)), 'a is out for longer than its time by now').to.deep.equal(['b']);
      consumer.reject(out, { requeue: true });
      expect(idsOf(await letters.next(1))).to.deep.equal(['a']);
    });

    it('takes the time to live off a dead letter', async () => {
      const { broker } = pair();
      const { queue, dead } = await makeMortal(broker);
      const { queue: clock, dead: rung } = await makeMortal(broker, { messageTtlMs: 3 * ttlMs });
      const letters = await collect(broker, dead, 1);
      await broker.publish([message(dead, 'first'), message(queue, 'a', { expirationMs: ttlMs })]);
      const first = await letters.next(1);
      await send(broker, clock, 'waited');
      await (await collect(broker, rung)).next(1);
      letters.consumer.ack(first);
      expect(idsOf(await letters.next(1))).to.deep.equal(['a']);
    });
  });
}
