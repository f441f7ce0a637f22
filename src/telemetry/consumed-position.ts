/** About how far the consumers of a feed have come, judged by what is left in its queue. */

import type { Feed } from './feeds.ts';

/**
 * Messages that consumers may have in hand and not acknowledged: they are not in the queue and not dealt with. Whoever holds one back while
 * more than so many after it are acknowledged is not seen: a queue tells only how long it is.
 */
const inHand: Readonly<Record<Feed, number>> = { events: 2000, batches: 200 };
const samplesMax = 4096;

/** Belongs to one term: it counts from the term's first message on. */
export class ConsumedPosition {
  readonly #inHand: number;
  /** After so many messages, everything below `seq` was in the queue. Ascending. */
  #samples: { published: number; seq: number }[] = [];
  #published = 0;
  #moves = 0;
  /** One sample for so many moves. */
  #every = 1;

  constructor(feed: Feed) {
    this.#inHand = inHand[feed];
  }

  /** Messages were published; all records below `seq` are told of whole. */
  moved(messages: number, seq: number): void {
    this.#published += messages;
    if (++this.#moves % this.#every !== 0) return;
    this.#samples.push({ published: this.#published, seq });
    if (this.#samples.length <= samplesMax) return;
    // Every other one is enough, of old ones and of new ones alike: the position is then a little behind, which is safe.
    this.#samples = this.#samples.filter((_, i) => i % 2 === 1);
    this.#every *= 2;
  }

  /** The `seq` below which everything was consumed, with so many messages left in the queue; undefined where nothing can be said. */
  at(depth: number): number | undefined {
    const consumed = this.#published - depth - this.#inHand;
    const index = this.#samples.findLastIndex(({ published }) => published <= consumed);
    const sample = this.#samples[index];
    if (sample !== undefined) this.#samples = this.#samples.slice(index);
    if (this.#samples.length < samplesMax / 4) this.#every = 1;
    return sample?.seq;
  }
}
