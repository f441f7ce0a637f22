/** For a broker that forgets its queues: sets a feed back to what its consumers have had. */

import type { Queryable } from '../platform/postgres/pool.ts';
import type { Feed } from './feeds.ts';

/** Name of a feed's cursor. */
export function cursorName(feed: Feed): string {
  return `telemetry.${feed}`;
}

function consumedName(feed: Feed): string {
  return `consumed.${feed}`;
}

/** Notes that consumers have had everything below `seq`; it never moves back. */
export async function noteConsumed(db: Queryable, feed: Feed, seq: number): Promise<void> {
  await db.query({
    name: 'note_consumed',
    text: `insert into projections (name, next_seq) values ($1, $2)
           on conflict (name) do update set next_seq = greatest(projections.next_seq, excluded.next_seq)`,
    values: [consumedName(feed), seq],
  });
}

/** Sets the feed back; what consumers have had already may come again, with the same ids. Nothing may run on the feed yet. */
export async function rewindFeed(db: Queryable, feed: Feed): Promise<void> {
  await db.query({
    name: 'rewind_feed',
    text: `update projections p set next_seq = c.next_seq, last_seq = null
             from (select coalesce(max(next_seq), 0) as next_seq from projections where name = $2) c
            where p.name = $1 and c.next_seq < p.next_seq`,
    values: [cursorName(feed), consumedName(feed)],
  });
}
