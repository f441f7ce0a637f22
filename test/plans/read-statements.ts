/** What the API tells of tasks, and what a scrape of the metrics reads. */

import { countEndStates, readFigures } from '../../src/app/metrics-sql.ts';
import { lockLiveTask } from '../../src/tasks/command.ts';
import { readNodeLoads, readWaiting } from '../../src/tasks/explain-sql.ts';
import { readAttempts, readResult } from '../../src/tasks/read-result.ts';
import { listTaskRows, readTaskRow, type TaskFilters } from '../../src/tasks/read-sql.ts';
import { deadLetters } from '../../src/tasks/read-tasks.ts';
import { recordIdsOfTask } from '../../src/tasks/timeline.ts';
import type { HotStatement } from './hot-statement.ts';
import { firstMs, perManifest, stepMs, type Load } from './load.ts';

const pageMax = 50;
/** Of each task of a page: itself, its requirement, its queue row, its results, its manifest. */
const perTask = 6;
/** A page and the tasks that its filters pass over, where they keep one in twenty. */
const ofPage = (pageMax + 1) * (perTask + 20);
const manyMax = 1000;
/** Ids tell the time of creation about as exactly. */
const driftMs = 61_000;
const taskIndexes = ['tasks_pkey', 'queue_pkey', 'results_pkey', 'manifests_pkey'];

export const readStatements: readonly HotStatement[] = [
  {
    name: 'read_task',
    run: (database, load) => forSome(load, (taskId) => readTaskRow(database, taskId)),
    indexes: taskIndexes,
    rows: () => 5 * 10,
  },
  {
    name: 'read_result',
    run: (database, load) => readResult(database, load.tasks('finished', 1, 7)[0] ?? ''),
    indexes: taskIndexes,
    rows: () => 10,
  },
  {
    name: 'read_attempts',
    run: (database, load) => forSome(load, (taskId) => readAttempts(database, taskId)),
    indexes: [...taskIndexes, 'receipts_pkey'],
    rows: () => 5 * 16,
  },
  {
    name: 'record_ids_of_task',
    run: (database, load) => forSome(load, (taskId) => recordIdsOfTask(database, taskId)),
    indexes: [...taskIndexes, 'task_records_pkey'],
    rows: () => 5 * 10,
  },
  {
    name: 'lock_live_task',
    run: (database, load) => lockLiveTask(database, load.tasks('queued', 1)[0] ?? ''),
    indexes: ['queue_pkey'],
    rows: () => 1,
  },
  list('newest', () => ({})),
  // Sorted where the server takes them for few.
  { ...list('waiting', () => ({ state: 'waiting' })), rows: (load) => ofPage + load.sizes.waiting },
  {
    ...list('queued', () => ({ state: 'queued' })),
    // Of what lives, all may be newer that is in another state.
    rows: (load) => ofPage + 2 * (load.sizes.waiting + load.inHand),
    emptied: (database) => database.query(`delete from queue where state = 'queued'`),
  },
  // What is out with nodes is found by their manifests, all of them.
  { ...list('running', () => ({ state: 'running' })), rows: (load) => ofPage + 3 * load.inHand },
  { ...list('in doubt', () => ({ state: 'in_doubt' })), rows: (load) => ofPage + 3 * load.inHand },
  list('succeeded', () => ({ state: 'succeeded' })),
  list('cancelled', () => ({ state: 'cancelled' })),
  narrowed('of a requester', (load) => ({ requested_by: load.name('p', 3) })),
  narrowed('of a source', (load) => ({ source: load.name('s', 1) })),
  narrowed('with a tag', (load) => ({ tag: load.isKnown ? 'nightly' : 'never' })),
  narrowed('of a source that failed', (load) => ({ state: 'failed', source: load.name('s', 1) })),
  { ...list('of a time', timeOf), rows: () => ofPage + (3 * 2 * driftMs) / stepMs },
  {
    name: 'dead letters',
    run: (database) => deadLetters(database, undefined, pageMax),
    isPlannedEachTime: true,
    indexes: ['results_not_succeeded', ...taskIndexes],
    rows: () => ofPage,
  },
  {
    name: 'explain: the task',
    run: (database, load) => readWaiting(database, load.tasks('queued', 1, load.sizes.queued - 1)[0] ?? ''),
    isPlannedEachTime: true,
    indexes: ['queue_pkey', 'tasks_pkey', 'queue_ready'],
    rows: () => manyMax + 3,
  },
  {
    name: 'read_node_loads',
    run: (database) => readNodeLoads(database),
    indexes: ['manifests_open'],
    rows: (load) => load.inHand / perManifest + load.sizes.nodes,
  },
  {
    name: 'count_end_states',
    run: (database, load) => countEndStates(database, load.tasks('finished', manyMax)),
    indexes: ['results_pkey'],
    rows: () => manyMax,
  },
  {
    name: 'read_figures',
    run: (database, load) => readFigures(database, ['telemetry.events', load.name('telemetry.', 1)]),
    indexes: ['results_not_succeeded', 'results_pkey', 'queue_pkey', 'audit_log_pkey', 'checkpoints_pkey'],
    // The longer it takes, the longer its figures are told.
    walks: 'queue',
    // So many failed tasks are counted at most.
    rows: (load) => 3 * 10_000 + 1.1 * load.live + load.sizes.nodes,
  },
];

/** Planned each time for its own filters. */
function list(what: string, filtersOf: (load: Load) => TaskFilters): HotStatement {
  return {
    name: `tasks ${what}`,
    run: (database, load) => listTaskRows(database, filtersOf(load), null, pageMax),
    isPlannedEachTime: true,
    indexes: ['tasks_pkey'],
    also: [...taskIndexes, 'queue_wake', 'manifests_open', 'results_not_succeeded'],
    rows: () => ofPage,
  };
}

/** Looks at so many tasks at most, each twice, and once more to tell where it stopped. */
function narrowed(what: string, filtersOf: (load: Load) => TaskFilters): HotStatement {
  const looked = 20_000;
  return { ...list(what, filtersOf), rows: () => 3 * looked + ofPage };
}

/** A second in which tasks were created. */
function timeOf(load: Load): TaskFilters {
  const from = firstMs + (load.sizes.first + load.sizes.finished / 2) * stepMs;
  return { created_from: new Date(from), created_to: new Date(from + 1000) };
}

/** Tasks that succeeded, failed after a retry, run, wait in line, and are cancelled. */
async function forSome(load: Load, read: (taskId: string) => Promise<unknown>): Promise<void> {
  const finished = [0, 1, 7, 9].flatMap((n) => load.tasks('finished', 1, n));
  for (const taskId of [...finished, ...load.tasks('running', 1), ...load.tasks('queued', 1)]) await read(taskId);
}
