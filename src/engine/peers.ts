/** Other orchestrators on the same database: what is done here may be theirs to go on with. */

import type { Clock } from '../domain/clock.ts';
import type { Notifier } from '../platform/postgres/notify.ts';

/** Heard of by so many signs of life ago at most: NOTIFY takes a lock of the whole database, and without peers nothing is sent. */
const presentMs = 5000;

const channels = { alive: 'writ_alive', work: 'writ_work', ended: 'writ_ended' } as const;

export interface PeerHandlers {
  /** Records were committed elsewhere, and tasks may be ready. */
  onWork: () => void;
  /** Tasks ended elsewhere: calls here may wait for them. */
  onEnded: () => void;
}

/** Tells others and listens to them. Everything is a hint: who misses one finds what it told of by itself, a little later. */
export class Peers {
  readonly #notifier: Notifier;
  readonly #clock: Clock;
  #heardAtMs = Number.NEGATIVE_INFINITY;

  constructor(notifier: Notifier, clock: Clock) {
    this.#notifier = notifier;
    this.#clock = clock;
  }

  async start({ onWork, onEnded }: PeerHandlers): Promise<void> {
    await this.#notifier.listen(channels.alive, () => {
      this.#heardAtMs = this.#clock.monotonicMs();
    });
    await this.#notifier.listen(channels.work, onWork);
    await this.#notifier.listen(channels.ended, onEnded);
  }

  /** A sign of life; about once a second. */
  sayAlive(): void {
    this.#notifier.notify(channels.alive);
  }

  tellWork(): void {
    if (this.#arePresent()) this.#notifier.notify(channels.work);
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
