/** Leases of nodes: heartbeats that come together are noted together. */

import { AppError } from '../domain/error.ts';
import { createBatcher, type Batcher } from '../platform/batch.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { renewLeases, type LeaseRenewal, type RenewedLease } from './heartbeat-sql.ts';

const batchMax = 200;
const waitingMax = 5000;
/** Each node reports every few seconds and can wait for its answer: many share one statement, which costs a commit. */
const paceMs = 100;
/** A row that is locked for long holds up one batch, not all. */
const batchesAtOnce = 4;
/** Heartbeats of one node and credential that may wait. */
const waitingOfOneMax = 16;

/** Owns the batches. */
export class Leases {
  readonly #batcher: Batcher<LeaseRenewal, RenewedLease | undefined | Error>;
  /** The last heartbeat of each node and credential, and how many there are. Who calls is not known yet: a wrong credential waits for itself. */
  readonly #reporting = new Map<string, { last: Promise<unknown>; count: number }>();

  constructor(database: Database, leaseS: number) {
    this.#batcher = createBatcher({
      maxItems: batchMax,
      maxPending: waitingMax,
      concurrency: batchesAtOnce,
      paceMs,
      run: (renewals) => renewAll(database, renewals, leaseS),
    });
  }

  /**
   * As `renewLeases` for one. Heartbeats of one node go one after the other: each is answered by what the one before it left. Fails
   * `unavailable` (`overloaded`) where too many wait.
   */
  async renew(renewal: LeaseRenewal): Promise<RenewedLease | undefined> {
    const key = `${renewal.node_id} ${renewal.credential_sha256.toString('base64')}`;
    const reporting = this.#reporting.get(key) ?? { last: Promise.resolve(), count: 0 };
    if (reporting.count >= waitingOfOneMax) throw overloaded();
    const renewing = reporting.count === 0 ? this.#batcher.add(renewal) : this.#after(reporting.last, renewal);
    reporting.count++;
    reporting.last = renewing.catch(() => undefined);
    this.#reporting.set(key, reporting);
    try {
      const renewed = await renewing;
      if (renewed instanceof Error) throw renewed;
      return renewed;
    } finally {
      if (--reporting.count === 0) this.#reporting.delete(key);
    }
  }

  async #after(last: Promise<unknown>, renewal: LeaseRenewal): Promise<RenewedLease | undefined | Error> {
    await last;
    return this.#batcher.add(renewal);
  }
}

function overloaded(): AppError {
  return new AppError('unavailable', 'This node has reported several times at once.', {
    reason: 'overloaded',
    retryAfterS: 1,
  });
}

/** What the database does not take of one node is no failure of the others. */
async function renewAll(
  database: Database,
  renewals: readonly LeaseRenewal[],
  leaseS: number,
): Promise<(RenewedLease | undefined | Error)[]> {
  try {
    return await renewLeases(database, renewals, leaseS);
  } catch (error) {
    if (renewals.length === 1 || error instanceof AppError) throw error;
  }
  const answers: (RenewedLease | undefined | Error)[] = [];
  for (const renewal of renewals) {
    const [answer] = await renewLeases(database, [renewal], leaseS).catch((error: unknown) => [error as Error]);
    answers.push(answer);
  }
  return answers;
}
