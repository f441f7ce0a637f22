/** Leases of nodes: heartbeats that come together are noted together. */

import { createBatcher, type Batcher } from '../platform/batch.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { renewLeases, type LeaseRenewal, type RenewedLease } from './heartbeat-sql.ts';

const batchMax = 500;
const waitingMax = 20_000;

/** Owns the batches. */
export class Leases {
  readonly #batcher: Batcher<LeaseRenewal, RenewedLease | undefined>;

  constructor(database: Database, leaseS: number) {
    this.#batcher = createBatcher({
      maxItems: batchMax,
      maxPending: waitingMax,
      run: (renewals) => renewInRounds(database, renewals, leaseS),
    });
  }

  /** As `renewLeases` for one. Fails `unavailable` where too many wait. */
  renew(renewal: LeaseRenewal): Promise<RenewedLease | undefined> {
    return this.#batcher.add(renewal);
  }
}

/** Heartbeats of one node go one after the other: each is answered by what the one before it left. */
async function renewInRounds(
  database: Database,
  renewals: readonly LeaseRenewal[],
  leaseS: number,
): Promise<(RenewedLease | undefined)[]> {
  const answers: (RenewedLease | undefined)[] = renewals.map(() => undefined);
  let left = renewals.map((renewal, at) => ({ renewal, at }));
  while (left.length > 0) {
    const round = [...new Map(left.toReversed().map((item) => [item.renewal.node_id, item])).values()];
    const renewed = await renewLeases(
      database,
      round.map(({ renewal }) => renewal),
      leaseS,
    );
    round.forEach(({ at }, i) => (answers[at] = renewed[i]));
    const taken = new Set(round);
    left = left.filter((item) => !taken.has(item));
  }
  return answers;
}
