/** The log: records are numbered, chained, signed, served, and projected. */

import {
  inboxBacklog,
  insertCheckpoint,
  readHead,
  readInbox,
  readLastCheckpoint,
  readLeaves,
  readLines,
} from '../../src/ledger/log-sql.ts';
import { readTileRoots, sequenceRecords } from '../../src/ledger/log-sql.ts';
import { AuditLogger } from '../../src/ledger/audit-logger.ts';
import { readProofs } from '../../src/ledger/proofs.ts';
import { readRecord, readRecordsById, searchRecords, type RecordFilters } from '../../src/ledger/record-search.ts';
import { readTileHashes } from '../../src/ledger/tile-service.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import { sha256 } from '../../src/proof/hash.ts';
import { tileWidth } from '../../src/proof/tiles.ts';
import { noteConsumed } from '../../src/telemetry/rewind.ts';
import { moveCursor, readCursor, readEpoch } from '../../src/telemetry/telemetry-sql.ts';
import type { HotStatement } from './hot-statement.ts';
import { firstMs, perManifest, recordsPerManifest, stepMs, type Load } from './load.ts';

const round = 500;
const pageMax = 51;
/** Checkpoints tell the time of records about as exactly. */
const driftMs = 65_000;
/** Where records are looked at: not at an end of the log. */
const middle = (load: Load): number => Math.floor(load.logSize / 2);

export const ledgerStatements: readonly HotStatement[] = [
  {
    name: 'append_records',
    run: (database) =>
      new AuditLogger('plans.example/log').append(database, [{ type: 'plans.test', outcome: 'success' }]),
    indexes: [],
    rows: () => 0,
    writes: () => 1,
  },
  {
    name: 'read_inbox',
    run: (database) => readInbox(database, round),
    indexes: ['audit_inbox_pkey'],
    rows: () => round,
    emptied: (database) => database.query('delete from audit_inbox where pos < (select max(pos) from audit_inbox)'),
  },
  {
    name: 'inbox_backlog',
    run: (database) => inboxBacklog(database, round),
    indexes: ['audit_inbox_pkey'],
    rows: () => round,
  },
  {
    name: 'sequence_records',
    run: sequence,
    indexes: ['audit_inbox_pkey'],
    rows: () => 2 * round + 3,
    writes: () => 2 * round + 1,
  },
  {
    name: 'read_lines',
    run: (database, load) => readLines(database, middle(load), load.logSize, round),
    indexes: ['audit_log_pkey'],
    rows: () => round,
  },
  {
    name: 'read_leaves',
    run: (database, load) => readLeaves(database, middle(load), middle(load) + tileWidth),
    indexes: ['audit_log_pkey'],
    rows: () => tileWidth,
  },
  {
    name: 'read_tile_roots',
    run: (database, load) => readTileRoots(database, 0, load.isKnown ? 0 : 1e6, load.isKnown ? 20 : 1e6 + 20),
    indexes: ['audit_tiles_pkey'],
    rows: () => 20,
  },
  {
    name: 'read_full_tile',
    run: (database, load) =>
      readTileHashes(database, { level: 0, n: load.isKnown ? 3 : 1e6, width: tileWidth }).catch(passGap),
    indexes: ['audit_tiles_pkey'],
    also: ['audit_log_pkey'],
    rows: () => 1,
  },
  {
    name: 'read_last_checkpoint',
    run: (database) => readLastCheckpoint(database),
    indexes: ['checkpoints_pkey'],
    rows: () => 1,
  },
  {
    name: 'insert_checkpoint',
    run: (database, load) =>
      insertCheckpoint(database, load.isKnown ? 1 : 2, { size: load.logSize + 1, root: sha256('r'), note: 'n' }, [
        { level: 0, n: 1e6, hashes: Buffer.alloc(tileWidth * 32), root: sha256('t') },
      ]),
    indexes: [],
    rows: () => 0,
    writes: () => 6,
  },
  {
    name: 'read_cursor, move_cursor, note_consumed, read_feed_epoch',
    run: async (database, load) => {
      await readCursor(database, load.name('telemetry.', 1));
      await readEpoch(database, 'events');
      await noteConsumed(database, 'events', 7);
      await moveCursor(database, load.isKnown ? 1 : 2, 'telemetry.events', { next_seq: 8, last_seq: 7 });
    },
    indexes: [],
    rows: () => 0,
    writes: () => 2,
  },
  {
    name: 'read_record',
    run: (database, load) => readRecord(database, middle(load)),
    indexes: ['audit_log_pkey'],
    rows: () => 1,
  },
  {
    name: 'records by id',
    run: (database, load) =>
      readRecordsById(
        database,
        [1, 2, 3, 4].map((n) => load.id('record', n)),
      ),
    indexes: ['audit_log_id_key'],
    rows: () => 4,
  },
  {
    name: 'read_line, with the tiles of its proof',
    run: (database, load) => readProofs(database, { seq: load.isKnown ? middle(load) : 1e9 }),
    indexes: ['audit_log_pkey', 'audit_tiles_pkey', 'checkpoints_pkey'],
    rows: () => 4 * tileWidth,
  },
  {
    name: 'read_task_lines, with the tiles of their proofs',
    run: (database, load) => readProofs(database, { task_id: load.tasks('finished', 1, 7)[0] ?? '' }),
    indexes: [
      ...['tasks_pkey', 'results_pkey', 'manifests_pkey', 'queue_pkey', 'task_records_pkey', 'audit_log_id_key'],
      ...['audit_tiles_pkey', 'checkpoints_pkey'],
    ],
    also: ['audit_log_pkey'],
    rows: () => 6 * tileWidth,
  },
  search('newest', () => ({})),
  search('of a type', (load) => ({ type: load.isKnown ? 'task.submit' : 'none' })),
  search('of a rare type', (load) => ({ type: load.isKnown ? 'token.create' : 'none' })),
  search('of an actor', (load) => ({ actor: load.name('p', 3) })),
  search('with an outcome', (load) => ({ outcome: load.isKnown ? 'deny' : 'error' })),
  search('of a target', (load) => ({ target: load.id('node', 0) })),
  search('of a task', (load) => ({ target: load.id('task', 0), ids: [1, 2].map((n) => load.id('record', n)) })),
  {
    ...search('of a time', timeOf),
    rows: () => 4 * pageMax + (2 * driftMs * recordsPerManifest) / (stepMs * perManifest),
  },
];

/** Planned each time for its own filters: by whichever index serves them. */
function search(what: string, filtersOf: (load: Load) => RecordFilters): HotStatement {
  return {
    name: `records ${what}`,
    run: (database, load) => searchRecords(database, filtersOf(load), null, pageMax),
    isPlannedEachTime: true,
    indexes: [],
    also: [
      'audit_log_pkey',
      'audit_log_id_key',
      'audit_log_type',
      'audit_log_actor',
      'audit_log_target',
      'audit_log_exceptions',
      'checkpoints_at',
    ],
    rows: () => 4 * pageMax,
  };
}

/** Some seconds in the middle of the log. */
function timeOf(load: Load): RecordFilters {
  const from = firstMs + (load.sizes.first + load.sizes.finished / 2) * stepMs;
  return { from: new Date(from), to: new Date(from + 10_000) };
}

/** A tile that is not stored is not served. */
function passGap(error: unknown): void {
  if (!(error instanceof Error && error.message.endsWith('has gaps'))) throw error;
}

async function sequence(database: Database, load: Load): Promise<void> {
  const head = await readHead(database);
  const rows = await readInbox(database, round);
  if (head === undefined) return;
  const pos = rows.map((row) => row.pos + (load.isKnown ? 0 : 1e9));
  const lines = pos.map(() => Buffer.from('{}'));
  await sequenceRecords(database, { term: 1, head, pos, leaves: pos.map(() => sha256('x')), lines });
}
