/** Each hot statement reads by the index that is meant, whatever the tables held when it was planned. */

import { AssertionError, expect } from 'chai';
import { before, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { raised } from '../../src/platform/postgres/raised.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { fill, fillOnce } from './fill.ts';
import { fleetStatements } from './fleet-statements.ts';
import type { HotStatement } from './hot-statement.ts';
import { ledgerStatements } from './ledger-statements.ts';
import { handful, Load, type LoadSizes } from './load.ts';
import { orderStatements } from './order-statements.ts';
import { faultsOf } from './plan-check.ts';
import { openPlanRecorder, type PlanRecorder } from './plan-recorder.ts';
import { readStatements } from './read-statements.ts';
import { taskStatements } from './task-statements.ts';

const statements: readonly HotStatement[] = [
  ...taskStatements,
  ...orderStatements,
  ...ledgerStatements,
  ...fleetStatements,
  ...readStatements,
];

/** No index serves it: what looks at plans must see that. */
const walk: HotStatement = {
  name: 'a walk',
  run: (database) =>
    database.query({ name: 'walk', text: 'select count(*) from tasks where timeout_s = $1', values: [59] }),
  indexes: ['tasks_pkey'],
  rows: () => 1,
};
const looked = [...statements, walk];

/** What is planned each time is planned for what the tables hold then: it is looked at where they are full. */
const prepared = looked.filter(({ isPlannedEachTime }) => isPlannedEachTime !== true);

/** PostgreSQL plans so often for the parameters at hand; then it decides whether one plan is kept for all (plancache.c). */
const runsToSettle = 5;

/** Tables whose rows go as fast as they come: the server counts them now and then, and finds nearly none. */
const emptiedAgain = ['queue', 'audit_inbox', 'cancel_requests'];

/** Far more than it takes, for machines that are busy. */
const limitMs = 300_000;

const few = Load.of(handful);
const million: LoadSizes = {
  first: 1000,
  finished: 1_000_000,
  in_doubt: 200,
  running: 1000,
  dispatched: 1000,
  queued: 100_000,
  waiting: 10_000,
  nodes: 1000,
  tokens: 5000,
  due: 500,
  expired: 300,
  cancel_requests: 50,
  idempotency_keys: 50_000,
  pending: 20_000,
};
const full = Load.of(million);
/** Enough to tell a walk from a look. */
const fuller = Load.of({ ...million, finished: 100_000, queued: 20_000 });

describe('plans of hot statements', function () {
  this.timeout(limitMs);
  const looks = new Map<HotStatement, Look[]>();

  /** Runs a statement so often that its plan is settled, looks at the next run, and keeps what is wrong with it. */
  async function look(
    { recorder, tableOf }: Session,
    statement: HotStatement,
    { load, when, settle }: { load: Load; when: string; settle: boolean },
  ): Promise<void> {
    const { database } = recorder;
    const { emptied, isPlannedEachTime } = statement;
    const run = (): Promise<unknown> => statement.run(database, load);
    // One run at least: it passes by what those before it have left in the indexes when they were rolled back.
    if (settle) await recorder.run(isPlannedEachTime === true ? 1 : runsToSettle, run);
    const isInVain = !load.isKnown && emptied !== undefined;
    const { seen, failure } = await recorder.observe(run, isInVain ? () => emptied(database) : undefined);
    const isWhole = load.isKnown && load !== few;
    const { faults, plan } = faultsOf(statement, { seen, tableOf, load, isWhole });
    if (failure !== undefined && (isWhole || !isRefusal(failure))) faults.push(`fails: ${messageOf(failure)}`);
    if (faults.length > 0) looks.set(statement, [...(looks.get(statement) ?? []), { when, faults, plan }]);
  }

  /** Looks at all statements, with parameters that hit and with ones that do not. */
  async function lookAtAll(session: Session, load: Load, when: string, settle: boolean): Promise<void> {
    for (const statement of looked) {
      await look(session, statement, { load, when: `${when}, found`, settle });
      await look(session, statement, { load: load.unknown(), when: `${when}, not found`, settle: false });
    }
  }

  before('looks at tables that were never analyzed while they fill up, then at analyzed ones', () =>
    withTables(async ({ owner, open }) => {
      const early = await open();
      for (const statement of prepared) {
        await look(early, statement, { load: few.unknown(), when: 'empty tables', settle: true });
      }
      await fillOnce(owner);
      await fill(owner, few);
      for (const statement of prepared) {
        await look(early, statement, { load: few, when: 'a handful of rows', settle: true });
      }
      await fill(owner, full, few);
      await lookAtAll(early, full, 'full tables, prepared on empty ones', false);
      await lookAtAll(await open(), full, 'full tables, never analyzed', true);
      await owner.query('vacuum analyze');
      await lookAtAll(await open(), full, 'full tables, analyzed', true);
    }),
  );

  before('looks at tables that were analyzed while they were small, then fill up', () =>
    withTables(async ({ owner, open }) => {
      await fillOnce(owner);
      await fill(owner, few);
      await owner.query('vacuum analyze');
      const early = await open();
      const { run, database } = early.recorder;
      for (const statement of prepared) await run(runsToSettle + 1, () => statement.run(database, few));
      await fill(owner, fuller, few);
      await lookAtAll(early, fuller, 'full tables, prepared on small analyzed ones', false);
    }),
  );

  before('looks at tables that were vacuumed while they were nearly empty, then filled the pages that they have', () =>
    withTables(async ({ owner, superuser, open }) => {
      await fillOnce(owner);
      await fill(owner, few);
      await fill(owner, fuller, few);
      await owner.query('vacuum analyze');
      await superuser.query(
        `update pg_class c set reltuples = 1 from pg_class t left join pg_index i on i.indrelid = t.oid
          where c.oid in (t.oid, i.indexrelid) and t.relname = any ($1) and t.relnamespace = 'public'::regnamespace`,
        [emptiedAgain],
      );
      await lookAtAll(await open(), fuller, 'full tables, counted while nearly empty', true);
    }),
  );

  for (const statement of statements) {
    it(statement.name, () => {
      const found = looks.get(statement) ?? [];
      if (found.length > 0) throw new AssertionError(tell(found));
    });
  }

  it('sees a statement that walks, whatever the tables held', () => {
    expect(new Set(looks.get(walk)?.map(({ when }) => when.split(',')[0]))).to.deep.equal(
      new Set(['empty tables', 'a handful of rows', 'full tables']),
    );
  });
});

/** What is wrong with a statement, and what the tables held then. */
interface Look {
  when: string;
  faults: string[];
  plan: string;
}

/** One plan is enough to see why: that of the most faults. */
function tell(found: readonly Look[]): string {
  const told = found.map(({ when, faults }) => `${when}: ${faults.join(', ')}`);
  const [worst] = found.toSorted((a, b) => b.faults.length - a.faults.length);
  return worst === undefined ? '' : [...told, `plan of ${worst.when}:`, worst.plan].join('\n');
}

interface Session {
  recorder: PlanRecorder;
  tableOf: ReadonlyMap<string, string>;
}

/** Hands a database of its own to `work`, with its owner and with sessions of the service; it is gone afterwards. */
async function withTables(
  work: (tables: { owner: Database; superuser: Database; open: () => Promise<Session> }) => Promise<void>,
): Promise<void> {
  const test = await createTestDatabase();
  const owner = createPool({ url: test.url, max: 2, statementTimeoutMs: limitMs });
  const superuser = createPool({ url: test.superuserUrl, max: 1 });
  const sessions: Session[] = [];
  try {
    const tableOf = await prepareTables(owner);
    const open = async (): Promise<Session> => {
      const session = { recorder: await openPlanRecorder(test.superuserUrl, test.database), tableOf };
      sessions.push(session);
      return session;
    };
    await work({ owner, superuser, open });
  } finally {
    for (const { recorder } of sessions) await recorder.close();
    await owner.close();
    await superuser.close();
    await test.drop();
  }
}

/** Keeps the server from analyzing tables by itself, and answers the table of each index. */
async function prepareTables(owner: Database): Promise<ReadonlyMap<string, string>> {
  const tables = await owner.query<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  );
  for (const { name } of tables.rows) await owner.query(`alter table ${name} set (autovacuum_enabled = off)`);
  const indexes = await owner.query<{ indexname: string; tablename: string }>(
    `select indexname, tablename from pg_indexes where schemaname = 'public'`,
  );
  return new Map(indexes.rows.map(({ indexname, tablename }) => [indexname, tablename]));
}

/** What the product answers where there is nothing to be found. */
function isRefusal(failure: unknown): boolean {
  return failure instanceof AppError || raised(failure) !== undefined;
}

function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : 'with what is no error';
}
