/** Tasks that do nothing, in batches over HTTP, beside the same number of jobs of each peer. */

import { inTurn } from '../measure/turns.ts';
import type { Benchmark, Session } from '../session.ts';
import type { Outcome } from '../measure/outcome.ts';
import { peers, type PeerName } from '../systems/peers.ts';
import { peerContenders, turnsOf, writContender } from './contenders.ts';

const tasksNormal = 30_000;
const all = Object.keys(peers) as PeerName[];

export const throughput: Benchmark = {
  name: 'throughput',
  line: 'no-op tasks in batches of 500, feed batches; beside BullMQ, graphile-worker, pg-boss',
  run: (session) => compare(session, 'throughput', 'batches', all),
};

export const events: Benchmark = {
  name: 'events',
  line: 'the same with one event a message (feed events); beside BullMQ',
  run: (session) => compare(session, 'events', 'events', ['bullmq']),
};

async function compare(
  session: Session,
  name: string,
  feed: 'batches' | 'events',
  peerNames: readonly PeerName[],
): Promise<Outcome> {
  const tasks = session.tasks(tasksNormal);
  const notes: string[] = [];
  const installation = await session.installation({ feed });
  const writ = writContender(`Writ, feed ${feed}`, installation, { tasks }, session);
  const others = await peerContenders(session, peerNames, tasks, notes);
  const rows = await inTurn([writ, ...others], turnsOf(session, notes));
  return { name, title: `${tasks.toLocaleString('en')} no-op tasks, first submission to last result`, rows, notes };
}
