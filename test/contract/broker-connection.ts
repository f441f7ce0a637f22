/** Contract of `Broker`: what happens when a connection ends, by its owner or without goodbye. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { collect, idsOf, makeQueue, message, outcomesOf, send, type BrokerPair } from './broker-fixture.ts';
import { failureCode } from './failure-code.ts';

export function connectionContract(pair: () => BrokerPair): void {
  describe('a connection that ends', () => {
    it('gives back what was out with its consumers, in order, marked as delivered before', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      await send(broker, queue, 'a', 'b', 'c');
      const dying = await collect(other, queue, 2);
      await dying.next(2);
      await other.close();
      const got = await (await collect(broker, queue)).next(3);
      expect(got.map(({ messageId, redelivered }) => [messageId, redelivered])).to.deep.equal([
        ['a', true],
        ['b', true],
        ['c', false],
      ]);
    });

    it('gives back what was out when it is cut without goodbye', async () => {
      const { broker, other, harness } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      await send(broker, queue, 'a', 'b');
      const dying = await collect(other, queue);
      const [a] = await dying.next(2);
      if (!a) throw new Error('two deliveries were due');
      dying.consumer.ack([a]);
      // An acknowledgement has no answer: a later question on the same connection shows that it has arrived.
      await other.depth(queue);
      await harness.sever(other);
      const got = await (await collect(broker, queue)).next(1);
      expect(got[0]).to.include({ messageId: 'b', redelivered: true });
    });

    it("goes on with what another connection's consumer is waiting for", async () => {
      const { broker, other, harness } = pair();
      const queue = await makeQueue(broker);
      const dying = await collect(other, queue);
      await send(broker, queue, 'a');
      await dying.next(1);
      const heir = await collect(broker, queue);
      await harness.sever(other);
      expect(idsOf(await heir.next(1))).to.deep.equal(['a']);
    });

    it('answers open publishes: each is confirmed, or may or may not have arrived', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker);
      const ids = Array.from({ length: 200 }, (_, i) => i.toString());
      const open = [send(other, queue, ...ids.slice(0, 100)), send(other, queue, ...ids.slice(100))];
      await other.close();
      const outcomes = (await Promise.all(open)).flatMap(outcomesOf);
      expect(outcomes).to.have.length(200);
      expect(new Set(outcomes)).to.satisfy((seen: Set<string>) => {
        seen.delete('confirmed');
        seen.delete('unconfirmed');
        return seen.size === 0;
      });
      const confirmed = outcomes.filter((outcome) => outcome === 'confirmed').length;
      expect(await broker.depth(queue)).to.be.at.least(confirmed);
    });

    it('fails with unavailable afterwards, tells its health, and can be closed again', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a');
      const { consumer, next } = await collect(other, queue);
      const out = await next(1);
      await other.close();
      await other.close();
      const calls = [
        () => other.publish([message(queue, 'b')]),
        () => other.declare({ exchanges: [], queues: [], bindings: [] }),
        () => other.consume(queue, { prefetch: 1, onDeliveries: () => undefined, onCancelled: () => undefined }),
        () => other.depth(queue),
        () => other.deleteQueue(queue),
        () => {
          consumer.ack(out);
        },
      ];
      for (const call of calls) expect(await failureCode(call)).to.equal('unavailable');
      expect((await other.health()).ok).to.equal(false);
      expect(await broker.health()).to.include({ ok: true });
    });
  });
}
