/** Other orchestrators on the same database: what is done here may be theirs to go on with. */

import type { Clock } from '../domain/clock.ts';
import { peerWork, type PeerWork } from '../domain/peer-work.ts';
import { saidMaxBytes, type Notifier } from '../platform/postgres/notify.ts';

/** Heard of by so many signs of life ago at most: NOTIFY takes a lock of the whole database, and without peers nothing is sent. */
const presentMs = 5000;

const channels = { alive: 'writ_alive', work: 'writ_work', ended: 'writ_ended' } as const;

export interface PeerHandlers {
  /** Records were committed elsewhere, and `work` beside them; undefined where that may be anything. */
  onWork: (work: PeerWork | undefined) => void;
  /** Tasks ended elsewhere: calls here may wait for them. */
  onEnded: () => void;
}

/** Tells others and listens to them. Everything is a hint: who misses one finds what it told of by itself, a little later. */
export class Peers {
  readonly #notifier: Notifier;
  readonly #clock: Clock;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #told = 0;

  constructor(notifier: Notifier, clock: Clock) {
    this.#notifier = notifier;
    this.#clock = clock;
  }

  async start({ onWork, onEnded }: PeerHandlers): Promise<void> {
    await this.#notifier.listen(channels.alive, () => {
      this.#heardAtMs = this.#clock.monotonicMs();
    });
    await this.#notifier.listen(channels.work, (said) => {
      onWork(said === undefined ? undefined : workOf(said));
    });
    await this.#notifier.listen(channels.ended, onEnded);
  }

  /** A sign of life; about once a second. */
  sayAlive(): void {
    this.#notifier.notify(channels.alive);
  }

  /** Records were committed here, and this beside them. What is too much for a notice is told as `anything`. */
  tellWork(work: PeerWork): void {
    if (!this.#arePresent()) return;
    // Notices that are alike are sent once, and counts are to arrive as often as they are told.
    const said = `${(this.#told++).toString()} ${JSON.stringify(work)}`;
    this.#notifier.notify(channels.work, Buffer.byteLength(said) > saidMaxBytes ? anything : said);
  }

  tellEnded(): void {
    if (this.#arePresent()) this.#notifier.notify(channels.ended);
  }

  stop(): Promise<void> {
    return this.#notifier.close();
  }

  #arePresent(): boolean {
    return this.#clock.monotonicMs() - this.#heardAtMs < presentMs;
  }
}

/** No number and no JSON: it is read as what another version may say. */
const anything = 'anything';

/** A number, and JSON. Undefined where it is not of the form that is known here. */
function workOf(said: string): PeerWork | undefined {
  try {
    return peerWork.safeParse(JSON.parse(said.slice(said.indexOf(' ') + 1))).data;
  } catch {
    return undefined;
  }
}
