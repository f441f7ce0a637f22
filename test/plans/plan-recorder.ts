/** A session of the database that shows the plan of each statement, those inside of functions too, as auto_explain tells them. */

import type pg from 'pg';
import type { Database, Queryable, QueryOutcome } from '../../src/platform/postgres/pool.ts';
import { openSession } from '../../src/platform/postgres/session.ts';

/** A node of a plan that ran, by the names of `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)`. Rows are those of one loop on average. */
export interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  Filter?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: PlanNode[];
}

/** One statement that ran. Its blocks are those of the statements inside of it too. */
export interface SeenStatement {
  text: string;
  plan: PlanNode;
}

export interface PlanRecorder {
  /** Runs statements as the service, all on the one connection. Its `transaction` is the one that `run` or `observe` has open. */
  database: Database;
  /** Runs `work` so many times, each rolled back. Its failures are passed over. */
  run(times: number, work: () => Promise<unknown>): Promise<void>;
  /**
   * What ran while `work` did, inner statements first; not what `prepare` does before it. Everything is rolled back, and a failure of
   * `work` is handed back.
   */
  observe(
    work: () => Promise<unknown>,
    prepare?: () => Promise<unknown>,
  ): Promise<{ seen: SeenStatement[]; failure: unknown }>;
  close(): Promise<void>;
}

const settings = [
  `load 'auto_explain'`,
  'set auto_explain.log_analyze = on',
  'set auto_explain.log_buffers = on',
  'set auto_explain.log_timing = off',
  'set auto_explain.log_nested_statements = on',
  'set auto_explain.log_parameter_max_length = 0',
  'set auto_explain.log_format = json',
  'set auto_explain.log_level = notice',
  // One that takes longer has no plan worth waiting for.
  `set statement_timeout = '4s'`,
];

const always = 0;
const never = -1;

/** Plans as a connection of `service` would make them: a session of its own, since who loads a module must be a superuser. */
export async function openPlanRecorder(superuserUrl: string, service: Queryable): Promise<PlanRecorder> {
  const client = await openSession({ url: superuserUrl, applicationName: 'writ plans' });
  await client.query(settings.join(';'));
  const { rows: tuned } = await service.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings where category like 'Query Tuning%' and context in ('user', 'superuser')`,
  );
  for (const { name, setting } of tuned) await client.query('select set_config($1, $2, false)', [name, setting]);
  let seen: SeenStatement[] = [];
  client.on('notice', ({ message }) => {
    const statement = message === undefined ? undefined : parsePlan(message);
    if (statement !== undefined) seen.push(statement);
  });
  const begin = (minDurationMs: number): Promise<unknown> =>
    client.query(`reset role; set auto_explain.log_min_duration = ${minDurationMs}; set role writ_service; begin`);
  const attempt = (work: () => Promise<unknown>): Promise<unknown> =>
    work().then(
      () => undefined,
      (error: unknown) => error,
    );
  return {
    database: databaseOn(client),
    run: async (times, work) => {
      for (let n = 0; n < times; n++) {
        await begin(never);
        await attempt(work);
        await client.query('rollback');
      }
    },
    observe: async (work, prepare) => {
      await begin(always);
      await prepare?.();
      seen = [];
      const failure = await attempt(work);
      const recorded = seen;
      await client.query('rollback');
      return { seen: recorded, failure };
    },
    close: () => client.end(),
  };
}

/** `duration: 0.041 ms  plan:` and the JSON; undefined for any other notice. */
function parsePlan(message: string): SeenStatement | undefined {
  const at = message.indexOf('plan:\n');
  if (!message.startsWith('duration: ') || at < 0) return undefined;
  const told = JSON.parse(message.slice(at + 'plan:\n'.length)) as { 'Query Text': string; Plan: PlanNode };
  return { text: told['Query Text'], plan: told.Plan };
}

function databaseOn(client: pg.Client): Database {
  const database: Database = {
    query: async <Row extends object>(
      statement: Parameters<Database['query']>[0],
      values?: readonly unknown[],
    ): Promise<QueryOutcome<Row>> => {
      const config = typeof statement === 'string' ? { text: statement } : statement;
      const given = values ?? config.values;
      const { rows, rowCount } = await client.query({
        ...config,
        ...(given === undefined ? {} : { values: [...given] }),
      } as pg.QueryConfig);
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    },
    transaction: (work) => work(database),
    statements: () => 0,
    close: () => Promise.resolve(),
  };
  return database;
}
