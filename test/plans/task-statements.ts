/** From submission to the moment before an order: keys, tasks, windows of the queue, due and expired tasks. */

import { AuditLogger } from '../../src/ledger/audit-logger.ts';
import { systemClock } from '../../src/domain/clock.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import { raised } from '../../src/platform/postgres/raised.ts';
import { sha256 } from '../../src/proof/hash.ts';
import {
  countLiveTasks,
  findExpiredTasks,
  listWindows,
  msUntilNextDue,
  readReadyTasks,
  readWindowFrom,
  wakeDueTasks,
} from '../../src/schedule/schedule-sql.ts';
import { beforeAll } from '../../src/schedule/window.ts';
import { endQueuedTasks } from '../../src/tasks/end-queued.ts';
import { withIdempotency } from '../../src/tasks/idempotent.ts';
import { planTask, type PlannedTask } from '../../src/tasks/plan.ts';
import { Requirements } from '../../src/tasks/requirements.ts';
import { deleteOldKeys, insertSubmission, readAnswer, type KeyClaim } from '../../src/tasks/submit-sql.ts';
import { loadCatalog, type Catalog } from '../../src/tools/catalog.ts';
import { noopTask, principalWith, root, toolsDir } from '../tasks/rooms.ts';
import type { HotStatement } from './hot-statement.ts';
import { principals, requirements } from './load.ts';

const audit = new AuditLogger('plans.example/log');
const batch = 100;
/** In one round of the leader's loops. */
const roundMax = 1000;
const windowMax = 100;

let loaded: Promise<Catalog> | undefined;

export const taskStatements: readonly HotStatement[] = [
  {
    name: 'submit_tasks',
    run: (database, load) =>
      submit(
        database,
        Array.from({ length: batch / 10 }, (_, n) => load.name('new-key-', n)),
      ),
    indexes: [],
    rows: () => 0,
    writes: () => 2 * batch + batch / 10 + 1,
  },
  {
    name: 'submit_tasks under keys that are taken',
    run: (database, load) =>
      insertSubmission(database, keyClaims(['key-1', 'key-2', load.name('key-', 3)]), [], audit.arrays([])).catch(
        passTaken,
      ),
    indexes: [],
    rows: () => 0,
    writes: () => 3,
  },
  {
    name: 'read_idempotent_answer',
    run: (database, load) => readAnswer(database, `p${(7 % principals).toString()}`, load.name('key-', 7)),
    indexes: ['idempotency_keys_pkey'],
    rows: () => 1,
  },
  {
    name: 'claim_idempotency_key, drop_idempotency_claim, store_idempotent_answer',
    run: (database, load) => {
      const claim = { key: load.name('act-', 1), bodySha256: sha256('') };
      const by = principalWith('p1', []);
      return withIdempotency(database, by, claim, () => Promise.resolve({ status: 200, location: null, body: {} }));
    },
    indexes: ['idempotency_keys_pkey'],
    rows: () => 1,
    writes: () => 3,
  },
  {
    name: 'delete_old_idempotency_keys',
    run: (database) => deleteOldKeys(database, roundMax),
    indexes: ['idempotency_keys_age'],
    rows: () => 2 * roundMax,
    writes: () => roundMax,
    emptied: (database) =>
      database.query(`delete from idempotency_keys where created_at < now() - interval '24 hours'`),
  },
  {
    name: 'read_requirements',
    run: (database) => new Requirements(database).load(),
    indexes: [],
    rows: () => requirements,
  },
  {
    name: 'read_window',
    run: (database, load) => readWindowFrom(database)(load.windowOf(load.firstOf('queued')), beforeAll, windowMax),
    indexes: ['queue_ready', 'tasks_pkey'],
    // Orders that are out stay in the window until they end.
    rows: (load) => 2 * windowMax + Math.ceil(load.inHand / load.windows),
  },
  {
    name: 'read_ready_tasks',
    run: (database, load) => readReadyTasks(database, load.tasks('queued', batch)),
    indexes: ['queue_pkey', 'tasks_pkey'],
    rows: () => 2 * batch,
  },
  {
    name: 'list_windows',
    run: (database) => listWindows(database),
    indexes: ['queue_ready'],
    rows: (load) => load.windows + 1,
  },
  {
    name: 'ms_until_next_due',
    run: (database) => msUntilNextDue(database),
    indexes: ['queue_wake'],
    rows: () => 1,
  },
  {
    name: 'wake_due_tasks',
    run: (database) => wakeDueTasks(database, 1, 60_000, roundMax),
    indexes: ['queue_wake', 'queue_pkey', 'tasks_pkey'],
    rows: (load) => 4 * load.sizes.due,
    writes: (load) => load.sizes.due,
    emptied: (database) => database.query('delete from queue where wake_at <= now()'),
  },
  {
    name: 'find_expired_tasks',
    run: (database) => findExpiredTasks(database, roundMax),
    indexes: ['queue_expires'],
    // What is out with a node expires when its node answers.
    rows: (load) => load.sizes.expired + load.inHand,
    emptied: (database) => database.query(`delete from queue where expires_at <= now()`),
  },
  {
    name: 'end_queued_tasks',
    run: async (database, load) => {
      const tasks = load.tasks('queued', batch).map((task_id) => ({ task_id, attempt: 0 }));
      const record = { type: 'task.expire', outcome: 'failure' } as const;
      if (load.isKnown) await endQueuedTasks(database, audit, tasks, { state: 'expired', reason: 'x', record });
    },
    indexes: ['queue_pkey', 'manifests_pkey'],
    rows: () => batch,
    writes: () => 3 * batch + 1,
  },
  {
    name: 'count_live_tasks',
    run: (database) => countLiveTasks(database),
    // Twice a minute.
    walks: 'queue',
    indexes: ['queue_pkey'],
    rows: (load) => 1.1 * load.live,
  },
];

async function submit(database: Database, keys: readonly string[]): Promise<void> {
  const catalog = await (loaded ??= loadCatalog([toolsDir]));
  const tasks = Array.from({ length: batch }, () => planned(catalog));
  const rows = tasks.map((task) => ({ task, requirement: 1, record_id: task.task_id }));
  const records = audit.arrays([{ type: 'plans.test', outcome: 'success' }]);
  await insertSubmission(database, keyClaims(keys), rows, records);
}

/** Keys are taken, as is meant. */
function passTaken(error: unknown): void {
  if (raised(error)?.code !== 'WR003') throw error;
}

function keyClaims(keys: readonly string[]): KeyClaim[] {
  const claim = { status: 201, location: null, body_sha256: sha256(''), answer: Buffer.from('{}') };
  return keys.map((key, n) => ({ ...claim, principal: `p${((n + 1) % principals).toString()}`, key }));
}

function planned(catalog: Catalog): PlannedTask {
  const defaults = { priorityMs: 60_000, maxAttempts: 3, retryInitialS: 1, retryMaxS: 60 };
  const decided = { principal: root, catalog, scopes: new Map<string, never>(), clock: systemClock };
  return planTask(noopTask, { ...decided, defaults, hashers: new Map<string, never>() });
}
