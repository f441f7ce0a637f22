/** Minutes of load that Writ can bear: whether it stays as it was. */

import type { Row, Sample } from '../measure/outcome.ts';
import { rssMb } from '../measure/processes.ts';
import { spreadOf } from '../measure/spread.ts';
import type { Benchmark, Installation, Session } from '../session.ts';
import type { Writ } from '../systems/writ.ts';
import { noop, runWrit, warmUp } from './contenders.ts';

/** Of the throughput that was reached. */
const share = 0.6;
const probeTasks = 30_000;
const tablesTold = 8;
const burstsNormal = 3;

interface Sizes {
  rssMb: number;
  tables: Map<string, { vacuums: number; tableMb: number; indexMb: number }>;
}

export const steady: Benchmark = {
  name: 'steady',
  line: 'steady load at 60 % of the throughput reached: latency, vacuums, sizes, memory (--minutes)',
  run: async (session) => {
    const installation = await session.installation({}, true);
    const { writ, generator } = installation;
    await warmUp(session, installation);
    const tasksPerS = Math.round(share * (reached(session) ?? (await probe(session))));
    const seconds = Math.max(2, session.options.minutes * 60);
    const burstsBefore = await bursts(session, installation);
    const before = await sizesOf(writ);
    const began = await timeOf(writ);
    session.say(`${tasksPerS} tasks a second for ${seconds} s`);
    await generator.call('submitSteadily', { urls: [writ.url], tokens: [writ.token], task: noop, tasksPerS, seconds });
    await writ.untilDone();
    await writ.untilAtRest();
    const after = await sizesOf(writ);
    const ended = await timeOf(writ);
    const finished = await countFinished(writ);
    const burstsAfter = await bursts(session, installation);
    const figures = {
      ...(await timesBetween(writ, began, ended)),
      rss_before_mb: before.rssMb,
      rss_after_mb: after.rssMb,
    };
    return {
      name: 'steady',
      title: `${tasksPerS.toLocaleString('en')} no-op tasks a second offered for ${seconds} s`,
      rows: [
        { name: 'Writ', isWrit: true, samples: [{ figures }] },
        { name: 'as in throughput, before', isWrit: true, samples: burstsBefore },
        {
          name: `as in throughput, after ${finished.toLocaleString('en')} finished tasks`,
          isWrit: true,
          samples: burstsAfter,
        },
        ...tableRows(before, after),
      ],
      notes: ['times of tasks are from their acceptance to the commit of their result, by the database'],
    };
  },
};

/** What is finished stays in the tables: whether that slows what comes later. */
async function bursts(session: Session, installation: Installation): Promise<Sample[]> {
  const tasks = session.tasks(probeTasks);
  const samples: Sample[] = [];
  for (let n = 0; n < (session.options.isQuick ? 1 : burstsNormal); n++) {
    const { elapsedMs, cpu } = await runWrit(installation, { tasks });
    samples.push({ figures: { tasks_per_s: (tasks * 1000) / elapsedMs }, cpu });
  }
  return samples;
}

async function countFinished({ database }: Writ): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'select count(*)::float8 as n from results where state is not null',
  );
  return rows[0]?.n ?? 0;
}

/** Tasks a second of Writ's row of `throughput`, where that ran before. */
function reached({ outcomes }: Session): number | undefined {
  const row = outcomes.get('throughput')?.rows.find(({ isWrit }) => isWrit);
  return row === undefined ? undefined : spreadOf(row.samples.map(({ figures }) => figures['tasks_per_s'] ?? 0)).median;
}

async function probe(session: Session): Promise<number> {
  const tasks = session.tasks(probeTasks);
  const { elapsedMs } = await runWrit(await session.installation({}, true), { tasks });
  return (tasks * 1000) / elapsedMs;
}

async function timeOf({ database }: Writ): Promise<string> {
  const { rows } = await database.query<{ now: string }>('select clock_timestamp()::text as now');
  return rows[0]?.now ?? '';
}

async function timesBetween({ database }: Writ, began: string, ended: string): Promise<Record<string, number>> {
  const { rows } = await database.query<Record<string, number>>(
    `select count(*) / extract(epoch from max(r.created_at) - min(t.created_at))::float8 as tasks_per_s,
            percentile_cont(0.5) within group (order by ms) as p50_ms, percentile_cont(0.99) within group (order by ms) as p99_ms
       from tasks t join results r on r.task_id = t.task_id
            cross join lateral (select extract(epoch from r.created_at - t.created_at)::float8 * 1000 as ms) m
      where t.created_at between $1::timestamptz and $2::timestamptz`,
    [began, ended],
  );
  return rows[0] ?? {};
}

async function sizesOf(writ: Writ): Promise<Sizes> {
  const { rows } = await writ.database.query<{ name: string; vacuums: number; table_mb: number; index_mb: number }>(
    `select relname as name, autovacuum_count as vacuums, pg_table_size(relid)::float8 / 1048576 as table_mb,
            pg_indexes_size(relid)::float8 / 1048576 as index_mb from pg_stat_user_tables`,
  );
  const tables = rows.map(
    ({ name, vacuums, table_mb, index_mb }) => [name, { vacuums, tableMb: table_mb, indexMb: index_mb }] as const,
  );
  return { rssMb: await rssMb(writ.orchestratorPid()), tables: new Map(tables) };
}

/** The tables that have grown most. */
function tableRows(before: Sizes, after: Sizes): Row[] {
  return [...after.tables]
    .sort(([, a], [, b]) => b.tableMb + b.indexMb - (a.tableMb + a.indexMb))
    .slice(0, tablesTold)
    .map(([name, { vacuums, tableMb, indexMb }]) => {
      const was = before.tables.get(name) ?? { vacuums: 0, tableMb: 0, indexMb: 0 };
      const figures = {
        autovacuums: vacuums - was.vacuums,
        ...{ table_before_mb: was.tableMb, table_after_mb: tableMb },
        ...{ index_before_mb: was.indexMb, index_after_mb: indexMb },
      };
      return { name: `table ${name}`, isWrit: true, samples: [{ figures }] };
    });
}
