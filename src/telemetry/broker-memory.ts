/** Notices a broker that has lost its memory, so that its consumers are told again what they may not have had. */

import { randomUUID } from 'node:crypto';
import type { Broker } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import { epochQueue } from '../domain/queues.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { Feed } from './feeds.ts';
import { rewindFeed } from './rewind.ts';
import { readEpoch, writeEpoch } from './telemetry-sql.ts';

/**
 * An empty queue with a name that is given once stands for the broker's memory, and the database knows the name. Where the queue is not
 * there any more, the broker was wiped, or another one stands in its place: the feed is set back to what consumers have had. Fails as
 * the broker does. A process that dies in the middle leaves it to be done again.
 */
export async function checkBrokerMemory(db: Queryable, broker: Broker, feed: Feed): Promise<'same' | 'lost'> {
  const known = await readEpoch(db, feed);
  if (known !== undefined && (await isThere(broker, epochQueue(known)))) return 'same';
  if (known !== undefined) await rewindFeed(db, feed);
  const epoch = randomUUID();
  const queues = [{ name: epochQueue(epoch), type: 'classic' as const }];
  // What stands for the memory must not come back without it.
  await broker.declare({ exchanges: [], queues, bindings: [] }, { once: true });
  await writeEpoch(db, feed, epoch);
  return known === undefined ? 'same' : 'lost';
}

async function isThere(broker: Broker, queue: string): Promise<boolean> {
  try {
    await broker.depth(queue);
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return false;
    throw error;
  }
}
