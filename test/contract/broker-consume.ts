/** Contract of `Broker`: order, prefetch, acknowledgement, rejection, turns of consumers. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { collect, idsOf, makeQueue, message, send, uniqueName, type BrokerPair } from './broker-fixture.ts';
import { failureCode } from './failure-code.ts';

export function consumeContract(pair: () => BrokerPair): void {
  describe('consuming', () => {
    it('delivers in the order of publishing, over several publishes', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      const ids = Array.from({ length: 300 }, (_, i) => i.toString());
      const { next, consumer } = await collect(other, queue, 50);
      const published = [0, 100, 200].map((from) => send(broker, queue, ...ids.slice(from, from + 100)));
      const got: string[] = [];
      while (got.length < ids.length) {
        const deliveries = await next(1);
        consumer.ack(deliveries);
        got.push(...idsOf(deliveries));
      }
      await Promise.all(published);
      expect(got).to.deep.equal(ids);
    });

    it('never calls the handler from within a call of the broker', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      let inside = false;
      let calledInside = false;
      const arrived = new Promise<void>((resolve, reject) => {
        const options = {
          prefetch: 10,
          onDeliveries: () => {
            calledInside ||= inside;
            resolve();
          },
          onCancelled: reject,
        };
        inside = true;
        void broker.consume(queue, options).then(() => {
          inside = true;
          void send(broker, queue, 'a');
          inside = false;
        });
        inside = false;
      });
      await arrived;
      expect(calledInside).to.equal(false);
    });

    it('fails with not_found for a queue that is not there, and with invalid for no prefetch', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      expect(await failureCode(() => collect(broker, uniqueName('missing')))).to.equal('not_found');
      expect(await failureCode(() => collect(broker, queue, 0))).to.equal('invalid');
    });

    it('gives out no more than the prefetch until something is acknowledged', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a', 'b', 'c', 'd', 'e');
      const { next, consumer, total } = await collect(broker, queue, 2);
      const first = await next(2);
      expect(await broker.depth(queue)).to.equal(3);
      expect(total()).to.equal(2);
      consumer.ack(first.slice(0, 1));
      expect(idsOf(await next(1))).to.deep.equal(['c']);
      expect(await broker.depth(queue)).to.equal(2);
    });

    it('takes turns between the consumers of a queue', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker);
      const one = await collect(broker, queue, 10);
      const two = await collect(other, queue, 10);
      await send(broker, queue, 'a', 'b', 'c', 'd');
      const [first, second] = await Promise.all([one.next(2), two.next(2)]);
      expect([...idsOf(first), ...idsOf(second)].sort()).to.deep.equal(['a', 'b', 'c', 'd']);
    });

    it('passes over a consumer whose prefetch is used up', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker);
      const slow = await collect(broker, queue, 1);
      await send(broker, queue, 'a');
      await slow.next(1);
      const quick = await collect(other, queue, 10);
      await send(broker, queue, 'b', 'c', 'd');
      expect(idsOf(await quick.next(3))).to.deep.equal(['b', 'c', 'd']);
      expect(slow.total()).to.equal(1);
    });
  });

  describe('settling', () => {
    it('forgets what is acknowledged, whole arrays in any order', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      await send(broker, queue, 'a', 'b', 'c');
      const { next, consumer } = await collect(other, queue);
      const [a, b, c] = await next(3);
      if (!a || !b || !c) throw new Error('three deliveries were due');
      consumer.ack([c, a]);
      consumer.ack([]);
      await other.close();
      const again = await collect(broker, queue);
      expect(idsOf(await again.next(1))).to.deep.equal(['b']);
      await send(broker, queue, 'd');
      expect(idsOf(await again.next(1))).to.deep.equal(['d']);
    });

    it('fails with conflict for what is not outstanding, and then settles nothing of the call', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a', 'b');
      const { next, consumer } = await collect(broker, queue);
      const [a, b] = await next(2);
      if (!a || !b) throw new Error('two deliveries were due');
      consumer.ack([a]);
      expect(
        await failureCode(() => {
          consumer.ack([a]);
        }),
      ).to.equal('conflict');
      expect(
        await failureCode(() => {
          consumer.ack([b, a]);
        }),
      ).to.equal('conflict');
      expect(
        await failureCode(() => {
          consumer.reject([b, b], { requeue: true });
        }),
      ).to.equal('conflict');
      consumer.ack([b]);
    });

    it("fails with conflict for another consumer's delivery", async () => {
      const { broker, other } = pair();
      const queues = [await makeQueue(broker), await makeQueue(broker)] as const;
      await Promise.all(queues.map((queue) => send(broker, queue, 'a')));
      const [mine, theirs] = await Promise.all([collect(broker, queues[0]), collect(other, queues[1])]);
      await mine.next(1);
      const foreign = await theirs.next(1);
      expect(
        await failureCode(() => {
          mine.consumer.ack(foreign);
        }),
      ).to.equal('conflict');
      theirs.consumer.ack(foreign);
    });

    it('brings what is rejected with requeue back to the front, marked as delivered before', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a', 'b', 'c', 'd');
      const { next, consumer } = await collect(broker, queue, 2);
      consumer.reject(await next(2), { requeue: true });
      const again = await next(2);
      expect(idsOf(again)).to.deep.equal(['a', 'b']);
      expect(again.map(({ redelivered }) => redelivered)).to.deep.equal([true, true]);
      consumer.ack(again);
      expect((await next(2)).map(({ messageId, redelivered }) => [messageId, redelivered])).to.deep.equal([
        ['c', false],
        ['d', false],
      ]);
    });

    it('drops what is rejected without requeue where the queue has no dead-letter exchange', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a');
      const { next, consumer } = await collect(broker, queue, 1);
      consumer.reject(await next(1), { requeue: false });
      await send(broker, queue, 'b');
      expect(idsOf(await next(1))).to.deep.equal(['b']);
    });
  });

  describe('ending a consumer', () => {
    it('gives back what is out when it is cancelled, and takes no more', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      await send(broker, queue, 'a', 'b');
      const one = await collect(broker, queue, 1);
      const out = await one.next(1);
      await one.consumer.cancel();
      await one.consumer.cancel();
      const two = await collect(other, queue);
      const got = await two.next(2);
      expect(got.map(({ messageId, redelivered }) => [messageId, redelivered])).to.deep.equal([
        ['a', true],
        ['b', false],
      ]);
      expect(
        await failureCode(() => {
          one.consumer.ack(out);
        }),
      ).to.equal('conflict');
      await broker.publish([message(queue, 'c')]);
      await two.next(1);
      expect(one.total()).to.equal(1);
    });

    it('tells the consumer when its queue is deleted, and lets it settle what it has', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a');
      const { next, consumer, cancelled } = await collect(broker, queue);
      const out = await next(1);
      await other.deleteQueue(queue);
      expect(await cancelled)
        .to.be.a('string')
        .and.not.equal('');
      consumer.ack(out);
    });
  });
}
