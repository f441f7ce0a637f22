/** Records denied calls, one by one while they are few, and as a count while they are a flood. */

import type { Clock } from '../domain/clock.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';

/** So many denials of one kind from one place are recorded one by one in each window; the rest is counted. */
const singleMax = 20;
const windowMs = 10_000;
const kindsMax = 1000;

interface Tally {
  single: number;
  counted: number;
  last: RecordDraft;
}

/**
 * Owns the records of calls that were denied. A kind is (reason, credential or address); when a window ends, one record
 * tells for each kind how many calls beyond the first it stands for.
 */
export class Denials {
  readonly #database: Database;
  readonly #audit: AuditLogger;
  readonly #clock: Clock;
  #tallies = new Map<string, Tally>();
  #windowEndMs = 0;

  constructor(database: Database, audit: AuditLogger, clock: Clock) {
    this.#database = database;
    this.#audit = audit;
    this.#clock = clock;
  }

  /** Records the denial, or counts it. Fails where the record cannot be written: then the call fails with it. */
  async record(draft: RecordDraft): Promise<void> {
    await this.flush();
    const kind = `${draft.type} ${draft.reason ?? ''} ${draft.actor?.id ?? ''} ${draft.actor?.ip ?? ''}`;
    // Beyond so many kinds in one window, all others share one tally: an attacker chooses addresses and names.
    const key = this.#tallies.has(kind) || this.#tallies.size < kindsMax ? kind : `${draft.type} ${draft.reason ?? ''}`;
    const tally = this.#tallies.get(key) ?? { single: 0, counted: 0, last: draft };
    this.#tallies.set(key, tally);
    tally.last = draft;
    if (tally.single < singleMax) {
      tally.single++;
      await this.#audit.append(this.#database, [draft]);
    } else {
      tally.counted++;
    }
  }

  /** Writes the counts of a window that has ended; `now` writes those of the open one too. */
  async flush(options: { now?: boolean } = {}): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#windowEndMs && options.now !== true) return;
    const tallies = [...this.#tallies.values()];
    this.#tallies = new Map();
    this.#windowEndMs = nowMs + windowMs;
    const drafts = tallies
      .filter((tally) => tally.counted > 0)
      .map(({ last: { id: _, ...draft }, counted }) => ({ ...draft, data: { ...draft.data, stands_for: counted } }));
    await this.#audit.append(this.#database, drafts);
  }
}
