/** A log on a database of its own, with the parts that write it: keys, mark, sequencer and checkpointer. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/domain/clock.ts';
import { newId, type BootId } from '../../src/domain/ids.ts';
import type { Mark } from '../../src/domain/mark.ts';
import type { Signer } from '../../src/domain/signer.ts';
import type { RecordDraft } from '../../src/ledger/audit-logger.ts';
import { Checkpointer, type CheckpointerOptions } from '../../src/ledger/checkpointer.ts';
import { readHead } from '../../src/ledger/log-sql.ts';
import { ManifestKeys } from '../../src/ledger/manifest-keys.ts';
import { openLog, openOrigin, type OpenLog } from '../../src/ledger/open-log.ts';
import { Sequencer, type Sequenced } from '../../src/ledger/sequencer.ts';
import { openLocalMark } from '../../src/platform/keys/local-mark.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { openLocalSigningKey } from '../../src/platform/keys/local-signing-key.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { createTestDatabase } from '../support/postgres.ts';

export interface TestLog extends OpenLog {
  /** As the service. */
  database: Database;
  /** As the owner, whom no right and no trigger stops. */
  owner: Database;
  /** Opens the same database anew, as the service. */
  url: string;
  mark: Mark;
  signer: Signer;
  /** Makes this term the leading one. */
  lead(term: number): Promise<void>;
  sequencer(term: number, onSequenced?: (sequenced: Sequenced) => void, database?: Database): Sequencer;
  /** With everything as it is, but for what is given. */
  checkpointer(options?: Partial<CheckpointerOptions>): Promise<Checkpointer>;
  append(drafts: readonly RecordDraft[]): Promise<void>;
  /** Appends heartbeats, as many as asked for, and chains all that waits. */
  grow(count: number): Promise<void>;
  /** Chains all that waits. */
  chain(): Promise<void>;
  size(): Promise<number>;
  /** Signs all that is chained, as a new leader would. */
  sign(): Promise<void>;
  /** Runs statements of the owner with the guards of the log's tables switched off. */
  tamper(...statements: readonly string[]): Promise<void>;
  drop(): Promise<void>;
}

const guarded = ['audit_log', 'audit_tiles', 'checkpoints', 'audit_head'];

/** Begins a log; term 1 leads. Its keys are trusted by records that are not chained yet. */
export async function startTestLog(): Promise<TestLog> {
  const testDatabase = await createTestDatabase();
  const { database, url } = testDatabase;
  const owner = createPool({ url, max: 2 });
  const folder = await mkdtemp(join(tmpdir(), 'writ-ledger-'));
  const signer = await openLocalSigner({ path: join(folder, 'log.key'), algorithm: 'EdDSA', create: true });
  const key = await openLocalSigningKey({ path: join(folder, 'manifest.pem'), algorithm: 'ES256', create: true });
  const origin = await openOrigin(database, 'test.example');
  const opened = await openLog({ database, origin, logSigner: signer, clock: systemClock });
  await ManifestKeys.open({ database, audit: opened.audit, key, clock: systemClock, activationS: 0 });
  const mark = await openLocalMark({ directory: join(folder, 'marks'), origin });
  const log: TestLog = {
    ...opened,
    ...{ database, owner, url, mark, signer },
    lead: async (term) => {
      await owner.query('delete from leader');
      await owner.query(`insert into leader values ($1, $2, clock_timestamp() + interval '1 hour')`, [
        term,
        newId<BootId>(),
      ]);
    },
    sequencer: (term, onSequenced = () => undefined, on = database) =>
      new Sequencer({ database: on, term, onSequenced }),
    checkpointer: (options = {}) =>
      Checkpointer.open({ ...opened, database, signer, mark, term: 1, onCheckpoint: () => undefined, ...options }),
    append: (drafts) => database.transaction((tx) => opened.audit.append(tx, drafts)),
    grow: async (count) => {
      for (let left = count; left > 0; left -= 1000) {
        await log.append(
          Array.from({ length: Math.min(left, 1000) }, () => ({ type: 'log.heartbeat', outcome: 'success' })),
        );
      }
      await log.chain();
    },
    chain: async () => {
      const sequencer = log.sequencer(1);
      while (await sequencer.runOnce());
    },
    size: async () => (await readHead(database))?.size ?? 0,
    sign: async () => (await log.checkpointer()).runOnce(await log.size()),
    tamper: async (...statements) => {
      await owner.transaction(async (tx) => {
        for (const table of guarded) await tx.query(`alter table ${table} disable trigger user`);
        for (const statement of statements) await tx.query(statement);
        for (const table of guarded) await tx.query(`alter table ${table} enable trigger user`);
      });
    },
    drop: async () => {
      await owner.close();
      await testDatabase.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await log.lead(1);
  return log;
}
