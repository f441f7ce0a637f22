/** Where the time goes: CPU profiles of orchestrator and node, and the statements of PostgreSQL, over one run of `throughput`. */

import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import type { Row } from '../measure/outcome.ts';
import { nowMs } from '../peers/serve.mjs';
import { moduleOf, selfTimes, type CpuProfile } from '../report/cpu-profile.ts';
import { drawFlames } from '../report/flames.ts';
import type { Benchmark, Session } from '../session.ts';
import type { Writ } from '../systems/writ.ts';
import { runWrit, warmUp } from './contenders.ts';

const tasksNormal = 30_000;
const functionsTold = 15;
const modulesTold = 8;
const statementsTold = 12;
const docs = fileURLToPath(new URL('../../docs', import.meta.url));

/** Counts statements of all users; the extension is made in the database of Writ. */
const statistics = { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' };

export const profile: Benchmark = {
  name: 'profile',
  line: 'largest self times of orchestrator and node, largest statements; draws docs/profile-*.svg',
  run: async (session) => {
    const tasks = session.tasks(tasksNormal);
    const folder = await mkdtemp(join(tmpdir(), 'writ-bench-profile-'));
    const remove = session.cleanup.add(() => rm(folder, { recursive: true, force: true }));
    const flags = ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${folder}/%`];
    const installation = await session.installation({ flags, postgres: statistics });
    const statements = await openStatistics(installation.writ);
    await warmUp(session, installation);
    await statements.query('select pg_stat_statements_reset()');
    const from = nowMs();
    const { elapsedMs } = await runWrit(installation, { tasks });
    const rows = await statementRows(statements, tasks);
    await statements.close();
    // The processes write their profiles when they end.
    await session.release();
    for (const [what, file] of [
      ['orchestrator', 'profile-orchestrator.svg'],
      ['node-1', 'profile-node.svg'],
    ] as const) {
      const found = await readProfile(join(folder, what), elapsedMs);
      const window = { fromMs: from, toMs: from + elapsedMs };
      rows.push(...profileRows(what, found, window, tasks));
      await draw(session, { profile: found, window, what, file });
    }
    await remove();
    return {
      name: 'profile',
      title: `${tasks.toLocaleString('en')} no-op tasks as in throughput; milliseconds for 1,000 tasks`,
      rows,
      notes: ['profiling and counting statements cost time themselves: compare the lines, not their sum'],
    };
  },
};

async function openStatistics({ services }: Writ): Promise<Database> {
  const url = new URL(services.postgres.adminUrl);
  url.pathname = '/writ';
  const database = createPool({ url: url.href, max: 1 });
  await database.query('create extension if not exists pg_stat_statements');
  return database;
}

async function statementRows(database: Database, tasks: number): Promise<Row[]> {
  const { rows } = await database.query<{ query: string; calls: number; ms: number }>(
    // Statements of one text under several roles or nesting levels are one here.
    `select query, sum(calls)::float8 as calls, sum(total_exec_time)::float8 as ms from pg_stat_statements
      where dbid = (select oid from pg_database where datname = current_database()) and query not like '%pg_stat_statements%'
      group by query order by ms desc limit $1`,
    [statementsTold],
  );
  return rows.map(({ query, calls, ms }) => ({
    name: `SQL ${query.replaceAll(/\s+/g, ' ').slice(0, 70)}`,
    isWrit: true,
    samples: [{ figures: { ms: (ms * 1000) / tasks, calls: (calls * 1000) / tasks } }],
  }));
}

/** The profile of the process that ran through the measured time, not of those that ended before. */
async function readProfile(folder: string, leastMs: number): Promise<CpuProfile> {
  for (const file of await readdir(folder)) {
    const found = JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile;
    if ((found.endTime - found.startTime) / 1000 > leastMs) return found;
  }
  throw new Error(`no profile in ${folder}`);
}

interface Window {
  fromMs: number;
  toMs: number;
}

function profileRows(what: string, found: CpuProfile, window: Window, tasks: number): Row[] {
  const times = selfTimes(found, window);
  const modules = new Map<string, number>();
  for (const { url, name, ms } of times) {
    const key = moduleOf(url, name);
    modules.set(key, (modules.get(key) ?? 0) + ms);
  }
  const row = (name: string, ms: number): Row => ({
    name: `${what} ${name}`,
    isWrit: true,
    samples: [{ figures: { ms: (ms * 1000) / tasks } }],
  });
  const largest = [...modules].sort(([, a], [, b]) => b - a).slice(0, modulesTold);
  return [
    ...largest.map(([name, ms]) => row(`module ${name}`, ms)),
    ...times
      .slice(0, functionsTold)
      .map(({ name, url, line, ms }) => row(`${name} ${shortUrl(url)}${url === '' ? '' : `:${line}`}`, ms)),
  ];
}

/** A quick run draws nothing into the documents: its few tasks show nothing. */
async function draw(
  session: Session,
  picture: { profile: CpuProfile; window: Window; what: string; file: string },
): Promise<void> {
  const folder = session.options.isQuick ? fileURLToPath(new URL('../../.cache/bench', import.meta.url)) : docs;
  await mkdir(folder, { recursive: true });
  const problem = await drawFlames(picture.profile, picture.window, picture.what, join(folder, picture.file));
  if (problem !== undefined) session.fail(problem);
}

function shortUrl(url: string): string {
  return url.replace(/^file:.*\/(dist|node_modules)\//, '');
}
