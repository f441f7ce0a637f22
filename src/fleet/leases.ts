/** Leases of nodes: heartbeats that come together are noted together. */

import { AppError } from '../domain/error.ts';
import { createBatcher, type Batcher } from '../platform/batch.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { renewLeases, type LeaseRenewal, type Renewed, type RenewedLease } from './heartbeat-sql.ts';

const batchMax = 200;
const waitingMax = 5000;
/** Each node reports every few seconds and can wait for its answer: many share one statement, which costs a commit. */
const paceMs = 100;
/** A statement that takes long holds up one batch, not all. */
const batchesAtOnce = 4;
/** Heartbeats of nodes that somebody else has locked, each in a statement of its own. */
const lockedAtOnce = 2;
/** Heartbeats of one node and credential that may wait. */
const waitingOfOneMax = 16;

/** Owns the batches. */
export class Leases {
  readonly #batcher: Batcher<LeaseRenewal, Renewed | Error>;
  /** Waits for nodes that are locked: nobody else waits with them. */
  readonly #lockedBatcher: Batcher<LeaseRenewal, Renewed>;
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
    this.#lockedBatcher = createBatcher({
      maxItems: 1,
      maxPending: waitingMax,
      concurrency: lockedAtOnce,
      run: (renewals) => renewLeases(database, renewals, { leaseS, waits: true }),
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
    const renewing = reporting.count === 0 ? this.#renewOne(renewal) : this.#after(reporting.last, renewal);
    reporting.count++;
    reporting.last = renewing.catch(() => undefined);
    this.#reporting.set(key, reporting);
    try {
      return await renewing;
    } finally {
      if (--reporting.count === 0) this.#reporting.delete(key);
    }
  }

  async #after(last: Promise<unknown>, renewal: LeaseRenewal): Promise<RenewedLease | undefined> {
    await last;
    return this.#renewOne(renewal);
  }

  async #renewOne(renewal: LeaseRenewal): Promise<RenewedLease | undefined> {
    const renewed = await this.#batcher.add(renewal);
    const settled = renewed === 'locked' ? await this.#lockedBatcher.add(renewal) : renewed;
    if (settled instanceof Error) throw settled;
    if (settled === 'locked') throw new Error('a statement that waits tells of no locks');
    return settled;
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
): Promise<(Renewed | Error)[]> {
  const options = { leaseS, waits: false };
  try {
    return await renewLeases(database, renewals, options);
  } catch (error) {
    if (renewals.length === 1 || error instanceof AppError) throw error;
  }
  const answers: (Renewed | Error)[] = [];
  for (const renewal of renewals) {
    const [answer] = await renewLeases(database, [renewal], options).catch((error: unknown) => [error as Error]);
    answers.push(answer);
  }
  return answers;
}
