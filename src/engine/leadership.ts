/** Who leads: one row, by the database's clock, renewed each second. */

import type { Database } from '../platform/postgres/pool.ts';

/** A leader that is silent for so long is followed by another. */
export const leaderLeaseS = 4;

/** Takes over where nobody leads, or whose time is over; answers the new term. Waits for writes of the old term in flight. */
export async function takeLead(db: Database, holder: string): Promise<number | undefined> {
  const inserted = await db.query<{ term: number }>({
    name: 'first_lead',
    text: `insert into leader (term, holder, expires_at)
           select 1, $1, clock_timestamp() + make_interval(secs => $2) where not exists (select from leader)
           on conflict do nothing returning term`,
    values: [holder, leaderLeaseS],
  });
  if (inserted.rows[0] !== undefined) return inserted.rows[0].term;
  const updated = await db.query<{ term: number }>({
    name: 'take_lead',
    text: `update leader set term = term + 1, holder = $1, expires_at = clock_timestamp() + make_interval(secs => $2)
            where expires_at < clock_timestamp() returning term`,
    values: [holder, leaderLeaseS],
  });
  return updated.rows[0]?.term;
}

/** Whether the term still is the holder's; renews it. */
export async function renewLead(db: Database, term: number, holder: string): Promise<boolean> {
  const updated = await db.query({
    name: 'renew_lead',
    text: `update leader set expires_at = clock_timestamp() + make_interval(secs => $3)
            where term = $1 and holder = $2 and expires_at >= clock_timestamp()`,
    values: [term, holder, leaderLeaseS],
  });
  return updated.rowCount === 1;
}

/** Ends whatever lead there was. For a process that knows by other means that it is the only one on its database. */
export async function dropLead(db: Database): Promise<void> {
  await db.query(`update leader set expires_at = clock_timestamp() - interval '1 second'`);
}

/** Lets the next one lead at once. */
export async function yieldLead(db: Database, term: number, holder: string): Promise<void> {
  await db.query({
    name: 'yield_lead',
    text: `update leader set expires_at = clock_timestamp() - interval '1 second' where term = $1 and holder = $2`,
    values: [term, holder],
  });
}
