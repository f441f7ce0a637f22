/** How far consumers have come, judged by the depth of their queue: never further than they are. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { Broker, Consumer, Delivery } from '../../src/domain/broker.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import { ConsumedPosition } from '../../src/telemetry/consumed-position.ts';

/** What the feed of batches allows its consumers to have in hand. */
const inHand = 200;
/** Of each of two consumers: what goes back when one dies comes again behind some of what the other has, for which a little room is left. */
const prefetchMax = 80;
const queue = 'telemetry.batches';

describe('the position of consumers', () => {
  it('is not known before more was published than they may have in hand', () => {
    const position = new ConsumedPosition('batches');
    expect(position.at(0)).to.equal(undefined);
    position.moved(inHand - 1, 7);
    expect(position.at(0)).to.equal(undefined);
    position.moved(1, 8);
    expect(position.at(0)).to.equal(undefined);
    position.moved(inHand, 9);
    expect(position.at(0)).to.equal(8);
    expect(position.at(1)).to.equal(undefined);
  });

  it('allows consumers of single events more in hand than consumers of batches', () => {
    const [events, batches] = [new ConsumedPosition('events'), new ConsumedPosition('batches')];
    for (const position of [events, batches]) {
      position.moved(1, 1);
      position.moved(1999, 2);
    }
    expect([events.at(0), batches.at(0)]).to.deep.equal([undefined, 1]);
    events.moved(1, 3);
    expect(events.at(0)).to.equal(1);
  });

  it('goes on with records that nothing is told of', () => {
    const position = new ConsumedPosition('batches');
    position.moved(1, 1);
    position.moved(0, 50);
    position.moved(inHand, 60);
    position.moved(0, 70);
    expect(position.at(0)).to.equal(50);
  });

  it('counts what was in the queue before the term began as not consumed', () => {
    const position = new ConsumedPosition('batches');
    const before = 1000;
    for (let seq = 1; seq <= 10; seq++) position.moved(inHand, seq);
    expect(position.at(before)).to.equal(4);
    expect(position.at(before + 10 * inHand)).to.equal(undefined);
    expect(position.at(0)).to.equal(9);
  });

  it('does not say less later, whatever depth is told', () => {
    const position = new ConsumedPosition('batches');
    for (let seq = 1; seq <= 10; seq++) position.moved(inHand, seq);
    expect(position.at(0)).to.equal(9);
    expect(position.at(inHand)).to.equal(undefined);
    expect(position.at(0)).to.equal(9);
  });

  /** Messages 0, 1, 2 … of records 0, 1, 2 …, on a real queue with consumers that hold some of them back. */
  class Feed {
    readonly #server = new InProcessBrokerServer();
    readonly #position = new ConsumedPosition('batches');
    /** Record of each message that was published. */
    readonly #recordOf: number[] = [];
    readonly #acked = new Set<number>();
    readonly #producer: Broker = this.#server.connect();
    #consumers: { broker: Broker; consumer: Consumer; held: Delivery[] }[] = [];
    #next = 0;

    async begin(): Promise<void> {
      await this.#producer.declare({ exchanges: [], queues: [{ name: queue, type: 'quorum' }], bindings: [] });
    }

    /** Publishes what each of some records tells, and says so to the position. */
    async publish(counts: readonly number[]): Promise<void> {
      const indexes = counts.flatMap((count) => {
        const record = this.#next++;
        return Array.from({ length: count }, () => this.#recordOf.push(record) - 1);
      });
      const outcomes = await this.#producer.publish(
        indexes.map((index) => ({
          ...{ exchange: '', routingKey: queue, body: Buffer.from(index.toString()) },
          ...{ messageId: index.toString(), type: 'x', contentType: 'text/plain' },
        })),
      );
      expect(outcomes.every(({ outcome }) => outcome === 'confirmed')).to.equal(true);
      this.#position.moved(indexes.length, this.#next);
    }

    /** All consumers together never have more in hand than they may. */
    async join(prefetch: number): Promise<void> {
      if (this.#consumers.length === 2) return;
      const held: Delivery[] = [];
      const broker = this.#server.connect();
      const consumer = await broker.consume(queue, {
        prefetch,
        onDeliveries: (deliveries) => held.push(...deliveries),
        onCancelled: () => undefined,
      });
      this.#consumers.push({ broker, consumer, held });
    }

    /** The oldest of all that are in hand: nobody holds one back while others go on. */
    async ack(count: number): Promise<void> {
      for (let i = 0; i < count; i++) {
        const inHands = this.#consumers.flatMap((one) => one.held.map((delivery) => ({ one, delivery })));
        const [oldest] = inHands.sort((a, b) => indexOf(a.delivery) - indexOf(b.delivery));
        if (oldest === undefined) break;
        const { one, delivery } = oldest;
        one.held.splice(one.held.indexOf(delivery), 1);
        this.#acked.add(indexOf(delivery));
        one.consumer.ack([delivery]);
        await settle();
      }
    }

    /** It dies with all it has in hand, which goes back to the queue. */
    async leave(which: number): Promise<void> {
      const [one] = this.#consumers.splice(which % Math.max(1, this.#consumers.length), 1);
      await one?.broker.close();
      await settle();
    }

    /** Nothing below the position is in the queue, or in hand. */
    async check(): Promise<number | undefined> {
      const seq = this.#position.at(await this.#producer.depth(queue));
      const missing = this.#recordOf.findIndex((record, index) => record < (seq ?? 0) && !this.#acked.has(index));
      expect(missing, `position ${String(seq)}, message of record ${String(this.#recordOf[missing])}`).to.equal(-1);
      return seq;
    }

    /** All is consumed; the position is behind by what might be in hand, and by no more. */
    async finish(): Promise<void> {
      while (this.#consumers.length > 0) await this.leave(0);
      await this.join(prefetchMax);
      await settle();
      while (this.#acked.size < this.#recordOf.length) await this.ack(inHand);
      const seq = (await this.check()) ?? 0;
      const behind = this.#recordOf.filter((record) => record >= seq).length;
      // One round of publishing is the least that it can tell apart.
      expect(behind).to.be.at.most(inHand + roundMax);
      this.#server.close();
    }
  }

  const roundMax = 120;
  const indexOf = ({ body }: Delivery): number => Number(Buffer.from(body).toString());

  /** What was delivered reaches its consumer. */
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

  it('is never ahead of what they have acknowledged, whoever publishes, takes, holds back or dies', async function () {
    this.timeout(60_000);
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.array(fc.nat(20), { maxLength: 6 }).map((counts) => ['publish', counts] as const) },
      { weight: 3, arbitrary: fc.nat(60).map((n) => ['ack', n] as const) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: prefetchMax }).map((n) => ['join', n] as const) },
      { weight: 1, arbitrary: fc.nat(3).map((who) => ['leave', who] as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 20, maxLength: 80 }), async (operations) => {
        const feed = new Feed();
        await feed.begin();
        for (const [what, ...how] of operations) {
          if (what === 'publish') await feed.publish(how[0] as number[]);
          else if (what === 'ack') await feed.ack(how[0] as number);
          else if (what === 'join') await feed.join(how[0] as number);
          else await feed.leave(how[0] as number);
          await feed.check();
        }
        await feed.finish();
      }),
      { numRuns: 40 },
    );
  });

  it('is still told, and never ahead, where consumers come to nothing for long', () => {
    const position = new ConsumedPosition('batches');
    const rounds = 100_000;
    for (let seq = 1; seq <= rounds; seq++) position.moved(1, seq);
    let last = 0;
    for (let depth = rounds; depth >= 0; depth -= 997) {
      const seq = position.at(depth) ?? 0;
      const consumed = rounds - depth - inHand;
      expect(seq).to.be.at.most(Math.max(0, consumed)).and.at.least(last);
      expect(seq, 'it is behind by little').to.be.at.least(consumed - rounds / 2000);
      last = seq;
    }
    for (let seq = rounds + 1; seq <= rounds + 1001; seq++) position.moved(1, seq);
    expect(position.at(0), 'and by nothing again where there is room').to.equal(rounds + 1001 - inHand);
  });

  it('takes no more memory the longer nobody consumes', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const position = new ConsumedPosition('events');
    const usedAfter = (rounds: number): number => {
      for (let i = 0; i < rounds; i++) position.moved(1, i);
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = usedAfter(10_000);
    expect(usedAfter(1_000_000) - before).to.be.below(4 * 1024 * 1024);
    expect(position.at(0)).to.be.a('number');
  });
});
