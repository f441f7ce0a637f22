/** Whether a long queue slows the way out of it: tasks wait while there is no node, then one starts. */

import type { LoadReport } from '../load/tasks.ts';
import type { Benchmark, Installation } from '../session.ts';
import { until } from '../systems/rest.ts';
import { noop } from './contenders.ts';

const small = 1000;
const timedNormal = 30_000;

export const backlog: Benchmark = {
  name: 'backlog',
  line: 'results per second out of a short and out of a long queue (--backlog)',
  run: async (session) => {
    const { backlog: large, isQuick } = session.options;
    const timed = isQuick ? Math.ceil(large / 2) : Math.min(timedNormal, large);
    const installation = await session.installation({}, true);
    const { writ } = installation;
    await writ.untilDone();
    await writ.stopNodes();
    const rows = [];
    for (const queued of [...new Set([small, timed, large])]) {
      session.say(`${queued} tasks queue up`);
      await fill(installation, queued);
      const results_per_s = await drain(installation, Math.min(queued, timed));
      session.say(`${Math.round(results_per_s)} results a second of ${queued} queued`);
      rows.push({
        name: `${queued.toLocaleString('en')} queued`,
        isWrit: true,
        samples: [{ figures: { results_per_s } }],
      });
      const isLast = queued === large;
      if (!isLast || isQuick) await writ.untilDone();
      await writ.stopNodes();
    }
    // Others that share the installation go on with a node.
    if (isQuick) await writ.addNode();
    return {
      name: 'backlog',
      title: `the first ${timed.toLocaleString('en')} results from the first to the last, the node just started`,
      rows,
      notes: [
        `${small.toLocaleString('en')} queued are gone within a fraction of a second, which says little about a rate`,
      ],
    };
  },
};

async function fill({ writ, generator }: Installation, tasks: number): Promise<void> {
  const load = { urls: [writ.url], tokens: [writ.token], task: noop, size: 500, atOnce: 2, tasks };
  await generator.call<LoadReport>('submit', load);
  await writ.untilAtRest();
}

/** Starts a node; answers the rate of the first `timed` results, by their times of commit. */
async function drain({ writ }: Installation, timed: number): Promise<number> {
  const { database } = writ;
  const { rows } = await database.query<{ now: string; before: number }>(
    'select clock_timestamp()::text as now, (select count(*) from results) as before',
  );
  const { now = '', before = 0 } = rows[0] ?? {};
  await writ.addNode();
  const hasEnough = async (): Promise<boolean> => {
    const found = await database.query<{ n: number }>('select count(*) as n from results');
    return (found.rows[0]?.n ?? 0) - before >= timed;
  };
  await until(hasEnough, { everyMs: 100, what: 'the backlog' });
  const found = await database.query<{ first: Date; last: Date; rest: number }>(
    `with r as (select created_at from results where created_at >= $1::timestamptz order by created_at limit $2)
     select min(created_at) as first, max(created_at) as last,
            count(*) filter (where created_at > (select min(created_at) from r)) as rest from r`,
    [now, timed],
  );
  const { first, last, rest } = found.rows[0]!;
  return (rest * 1000) / Math.max(1, last.getTime() - first.getTime());
}
