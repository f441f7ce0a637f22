/** From order to receipt: manifests, receipts, what is out with nodes, what is lost with them. */

import { createHash } from 'node:crypto';
import {
  commitReceipts,
  countInFlight,
  readBoots,
  readLiveTasks,
  readLostOrders,
  readManifests,
  readOrdersOfNode,
  type OutstandingOrder,
  type ReceiptCommit,
} from '../../src/collect/collect-sql.ts';
import { loseAttempts, markRunning } from '../../src/collect/recover.ts';
import { issueManifests, readPayloads, type SignedManifest } from '../../src/dispatch/dispatch-sql.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { newId } from '../../src/domain/ids.ts';
import { AuditLogger } from '../../src/ledger/audit-logger.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import type { EndedAttempt } from '../../src/tasks/results.ts';
import type { Move } from '../../src/tasks/transition.ts';
import type { HotStatement } from './hot-statement.ts';
import { bootOfBusiest, busyNodes, perManifest, type Load } from './load.ts';

const audit = new AuditLogger('plans.example/log');
const batch = 100;
const manifestsMax = 4;
const lostMax = 2000;
const skewS = 60;

export const orderStatements: readonly HotStatement[] = [
  {
    name: 'read_payloads',
    run: (database, load) => readPayloads(database, load.tasks('queued', batch)),
    indexes: ['tasks_pkey'],
    rows: () => batch,
  },
  {
    name: 'issue_manifests',
    run: (database, load) => issue(database, load),
    indexes: ['queue_pkey'],
    rows: () => batch,
    writes: () => batch + manifestsMax + 1,
  },
  {
    name: 'read_live_tasks',
    run: (database, load) => readLiveTasks(database, load.tasks('running', batch)),
    indexes: ['queue_pkey', 'tasks_pkey'],
    rows: () => 3 * batch,
  },
  {
    name: 'commit_receipts',
    run: (database, load) => commitReceipts(database, receiptsOf(load), recordArrays()),
    indexes: ['queue_pkey', 'manifests_pkey'],
    // Ends and retries in one commit: their rows are locked first, then changed.
    rows: () => 3 * batch + manifestsMax,
    writes: () => 2 * batch + 2 * manifestsMax + 2,
  },
  {
    name: 'read_boots',
    run: (database, load) => readBoots(database, load.id('node', 0)),
    indexes: ['receipts_node_id_boot_id_seq_key'],
    // Of each boot the first receipt and the last.
    rows: (load) => 4 * Math.ceil(load.sizes.finished / perManifest / 2 / bootOfBusiest) + 4,
  },
  {
    name: 'read_orders_of_node',
    run: (database, load) => readOrdersOfNode(database, load.manifests('running')[0]?.node_id ?? ''),
    indexes: ['manifests_open', 'queue_pkey'],
    rows: (load) => 2 * ordersOfNode(load),
  },
  {
    name: 'mark_running',
    run: async (database, load) => {
      const orders = load.tasks('dispatched', batch).map((task_id) => ({ task_id, attempt: 1 }));
      if (load.isKnown) await markRunning(database, orders);
    },
    indexes: ['queue_pkey'],
    rows: () => batch,
    writes: () => batch,
  },
  {
    name: 'read_manifests',
    run: (database, load) =>
      readManifests(
        database,
        load
          .manifests('dispatched')
          .slice(0, manifestsMax)
          .map(({ jti }) => jti),
      ),
    indexes: ['manifests_pkey', 'tasks_pkey'],
    rows: () => manifestsMax * (perManifest + 1),
  },
  {
    name: 'read_lost_orders',
    run: (database, load) => readLostOrders(database, load.isKnown ? 1 : 2, skewS, lostMax),
    indexes: ['manifests_open', 'queue_pkey'],
    // What is open and over is looked at order by order.
    rows: (load) => 2 * load.inHand + load.inHand / perManifest + load.sizes.nodes,
  },
  {
    name: 'read_lost_orders where none is lost',
    run: (database) => readLostOrders(database, 1, 86_400, lostMax),
    indexes: ['manifests_open', 'queue_pkey'],
    rows: (load) => load.inHand / perManifest + load.sizes.nodes,
  },
  {
    name: 'commit_lost, commit_doubt',
    run: (database, load) => {
      const context = { database, audit, clock: systemClock, random: () => 0.5 };
      return loseAttempts(outstanding(load), 'lease_over', context);
    },
    indexes: ['queue_pkey', 'tasks_pkey', 'manifests_pkey'],
    rows: () => 5 * batch + manifestsMax,
    writes: () => 3 * batch + manifestsMax + 2,
  },
  {
    name: 'count_in_flight',
    run: (database) => countInFlight(database),
    indexes: ['manifests_open', 'queue_pkey'],
    rows: (load) => 2 * load.inHand + (2 * load.inHand) / perManifest,
  },
];

function recordArrays(): ReturnType<AuditLogger['arrays']> {
  return audit.arrays([{ type: 'plans.test', outcome: 'success' }]);
}

function hashOf(jti: string): string {
  return createHash('sha256').update(jti).digest('hex');
}

function issue(database: Database, load: Load): Promise<void> {
  const tasks = load.tasks('queued', batch);
  const nowS = Math.floor(systemClock.now() / 1000);
  const size = Math.ceil(tasks.length / manifestsMax);
  const manifests = Array.from({ length: manifestsMax }, (_, n): SignedManifest => {
    const jti = newId();
    const orders = tasks.slice(n * size, (n + 1) * size).map((task_id) => ({ task_id, attempt: 1 }));
    const times = { iat: nowS, exp: nowS + 60 };
    return {
      jti,
      sha256: hashOf(jti),
      node_id: load.id('node', 1),
      ...times,
      record_id: newId(),
      jws: Buffer.from('x'),
      orders,
    };
  });
  return issueManifests(database, 1, manifests, recordArrays());
}

/** Orders of the running tasks, each with the manifest and the node that it is under. */
function runningOrders(load: Load): { task_id: string; attempt: number; node_id: string; manifest: string }[] {
  const first = load.firstOf('running') / perManifest;
  // The first of them are asked to be cancelled: those do not go again.
  return load
    .manifests('running')
    .slice(-manifestsMax)
    .flatMap(({ n, jti, node_id }) =>
      load
        .tasks('running', perManifest, (n - first) * perManifest)
        .map((task_id) => ({ task_id, attempt: 1, node_id, manifest: jti })),
    );
}

/** Most succeed, some go again at once, some later. */
function receiptsOf(load: Load): ReceiptCommit {
  const ended: EndedAttempt[] = [];
  const moves: Move[] = [];
  const taskRecords: ReceiptCommit['taskRecords'][number][] = [];
  const recordId: string = newId();
  for (const [n, order] of runningOrders(load).entries()) {
    const { task_id, attempt, node_id, manifest } = order;
    const to = n % 10 === 5 ? 'queued' : n % 10 === 6 ? 'waiting' : 'succeeded';
    const isRetry = to !== 'succeeded';
    const wake = to === 'waiting' ? { wake_at: new Date(systemClock.now() + 60_000) } : {};
    moves.push({ task_id, attempt, to, by_node: node_id, ...wake });
    const status = isRetry ? 'failed' : 'succeeded';
    const state = isRetry ? null : 'succeeded';
    ended.push({ task_id, attempt, state, status, node_id, manifest: isRetry ? manifest : null, record_id: recordId });
    if (n < 2) taskRecords.push({ task_id, record_id: recordId });
  }
  const boot: string = newId();
  const receipts = Array.from({ length: manifestsMax }, (_, seq) => {
    const jti: string = newId();
    const evidence = { jti, sha256: hashOf(jti), jws: Buffer.from('x'), record_id: recordId };
    return { ...evidence, node_id: load.id('node', 1), boot_id: boot, seq, previous_boot: undefined };
  });
  return { receipts, ended, moves, taskRecords };
}

function outstanding(load: Load): OutstandingOrder[] {
  const times = { issued_at: new Date(0), expires_at: new Date(0) };
  return runningOrders(load).map((order) => ({ ...order, state: 'running', ...times }));
}

/** Orders of one of the nodes that have work, with their manifests. */
function ordersOfNode(load: Load): number {
  return Math.ceil(load.inHand / perManifest / busyNodes) * (perManifest + 1) + perManifest;
}
