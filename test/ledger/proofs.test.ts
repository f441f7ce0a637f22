import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { newId, type TaskId } from '../../src/domain/ids.ts';
import { readConsistencyProof, readProofs } from '../../src/ledger/proofs.ts';
import { decodeHash } from '../../src/proof/base64.ts';
import { parseNote } from '../../src/proof/note.ts';
import { checkCheckpoint, formatPolicy, parsePolicy } from '../../src/proof/policy.ts';
import { leafHash } from '../../src/proof/record.ts';
import { parseTlogProof } from '../../src/proof/tlog-proof.ts';
import { verifyConsistency, verifyInclusion } from '../../src/proof/tree-proof.ts';
import { startTestLog, type TestLog } from './test-log.ts';

const sizes = [1, 2, 255, 256, 257, 600];

describe('proofs of the ledger', () => {
  let log: TestLog;

  before(async () => {
    log = await startTestLog();
    const failure: unknown = await readProofs(log.database, { seq: 0 }).catch((error: unknown) => error);
    expect(failure).to.have.property('reason', 'record_not_found');
    await log.grow(598);
    const checkpointer = await log.checkpointer();
    for (const size of sizes) await checkpointer.runOnce(size);
    await log.grow(1);
  });

  after(() => log.drop());

  /** The record that a proof shows to be in the log, believed by the log's key alone. */
  function openProof(text: string): { seq: number; type: string } {
    const { index, hashes, checkpoint, extra } = parseTlogProof(text);
    const checked = checkCheckpoint(parseNote(checkpoint), parsePolicy(formatPolicy(log.vkey)));
    if (checked === undefined || extra === undefined) throw new Error('a proof without signature or record');
    expect(verifyInclusion(leafHash(extra), index, checked.size, hashes, checked.root)).to.equal(true);
    const record = JSON.parse(Buffer.from(extra).toString('utf8')) as { seq: number; type: string };
    expect(record.seq).to.equal(index);
    return record;
  }

  for (const seq of [0, 1, 254, 255, 256, 257, 511, 512, 599]) {
    it(`shows that record ${seq.toString()} is in the log`, async () => {
      const proofs = await readProofs(log.database, { seq });
      expect(proofs.map((proof) => openProof(proof).seq)).to.deep.equal([seq]);
    });
  }

  it('asks for patience for a record that no checkpoint covers yet', async () => {
    const failure = await failureOf(readProofs(log.database, { seq: 600 }));
    expect(failure).to.include({ code: 'conflict', reason: 'not_checkpointed' });
    expect(failure.details.retryAfterS).to.equal(1);
  });

  it('has no proof of a record that does not exist', async () => {
    expect(await failureOf(readProofs(log.database, { seq: 601 }))).to.include({
      code: 'not_found',
      reason: 'record_not_found',
    });
  });

  it('shows every record that tells of a task, in the order of the log', async () => {
    const taskId = newId<TaskId>();
    const noted = [300, 2, 599, 10];
    await log.database.query(
      'insert into task_records (task_id, record_id) select $1, id from audit_log where seq = any ($2::bigint[])',
      [taskId, noted],
    );
    const proofs = await readProofs(log.database, { task_id: taskId });
    expect(proofs.map((proof) => openProof(proof).seq)).to.deep.equal([2, 10, 300, 599]);
  });

  it('asks for patience where one of a task’s records is not chained, or not signed', async () => {
    for (const record of [newId(), await idOf(600)]) {
      const taskId = newId<TaskId>();
      await log.database.query(
        'insert into task_records (task_id, record_id) select $1, id from audit_log where seq = 5',
        [taskId],
      );
      await log.database.query('insert into task_records values ($1, $2)', [taskId, record]);
      expect(await failureOf(readProofs(log.database, { task_id: taskId }))).to.include({ reason: 'not_checkpointed' });
    }
  });

  it('has no proof of a task that does not exist', async () => {
    const failure = await failureOf(readProofs(log.database, { task_id: newId<TaskId>() }));
    expect(failure).to.include({ code: 'not_found', reason: 'task_not_found' });
  });

  it('shows that the log grew from each checkpoint to each later one', async () => {
    const { rows } = await log.database.query<{ size: number; root: Buffer }>(
      'select size, root from checkpoints order by 1',
    );
    for (const old of rows) {
      for (const later of rows.filter(({ size }) => size >= old.size)) {
        const proof = (await readConsistencyProof(log.database, old.size, later.size)).map(decodeHash);
        expect(verifyConsistency(old.size, later.size, proof, old.root, later.root)).to.equal(true);
      }
    }
    expect(await readConsistencyProof(log.database, 0, 600)).to.deep.equal([]);
  });

  it('shows nothing beyond the newest checkpoint, and nothing backwards', async () => {
    expect(await failureOf(readConsistencyProof(log.database, 1, 601))).to.include({ reason: 'not_checkpointed' });
    expect(await failureOf(readConsistencyProof(log.database, 3, 2))).to.include({
      code: 'invalid',
      reason: 'invalid_range',
    });
  });

  async function idOf(seq: number): Promise<string> {
    const { rows } = await log.database.query<{ id: string }>('select id from audit_log where seq = $1', [seq]);
    return rows[0]?.id ?? '';
  }

  async function failureOf(call: Promise<unknown>): Promise<AppError> {
    const failure: unknown = await call.catch((error: unknown) => error);
    if (failure instanceof AppError) return failure;
    throw new Error('not refused', { cause: failure });
  }
});
