import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { newId, type RecordId } from '../../src/domain/ids.ts';
import type { RecordDraft } from '../../src/ledger/audit-logger.ts';
import { evidenceLines } from '../../src/ledger/export-evidence.ts';
import type { EvidenceTable } from '../../src/ledger/export-sql.ts';
import type { EvidenceLine } from '../../src/proof/bundle.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { readAll } from './read-bundle.ts';
import { startTestLog, type TestLog } from './test-log.ts';

/** Names evidence `jws` in a record of this type; the first call of a test makes record 2. */
type Naming = readonly [type: string, jws: string, id?: RecordId];

describe('evidence of an export', () => {
  let log: TestLog;

  beforeEach(async () => {
    log = await startTestLog();
    await log.chain();
  });

  afterEach(() => log.drop());

  it('is in the order of the records that first name it, each once', async () => {
    const [a, b] = [newId<RecordId>(), newId<RecordId>()];
    await store('manifests', 'b', b);
    await store('manifests', 'a', a);
    await name(['manifest.issue', 'a', a], ['manifest.issue', 'b', b], ['manifest.void', 'a']);
    expect(await exported('manifests')).to.deep.equal(['a', 'b']);
  });

  it('is there once for a receipt that is accepted in part and late in part', async () => {
    const [accept, late] = [newId<RecordId>(), newId<RecordId>()];
    await store('receipts', 'r', accept);
    await store('receipts', 's', late);
    await name(['receipt.accept', 'r', accept], ['receipt.late', 'r'], ['receipt.late', 's', late]);
    expect(await exported('receipts')).to.deep.equal(['r', 's']);
    expect(await exported('manifests')).to.deep.equal([]);
  });

  it('is there once in a part that begins between two records that name it', async () => {
    const a = newId<RecordId>();
    await store('manifests', 'a', a);
    await name(['manifest.issue', 'a', a], ['manifest.void', 'a'], ['manifest.void', 'a']);
    expect(await exported('manifests', { from: 2 })).to.deep.equal(['a']);
    expect(await exported('manifests', { from: 3 })).to.deep.equal(['a']);
    expect(await exported('manifests', { from: 4 })).to.deep.equal(['a']);
    expect(await exported('manifests', { from: 5 })).to.deep.equal([]);
  });

  it('is there once where a later page of records names it again', async () => {
    const a = newId<RecordId>();
    await store('manifests', 'a', a);
    const others = Array.from({ length: 1000 }, (_, i): Naming => ['manifest.issue', i.toString()]);
    await name(['manifest.issue', 'a', a], ['manifest.void', 'a'], ...others, ['manifest.void', 'a']);
    expect(await exported('manifests', { size: 2000 })).to.deep.equal(['a']);
    expect(await exported('manifests', { from: 3, size: 2000 })).to.deep.equal(['a']);
  });

  it('is not there before a record names it', async () => {
    const a = newId<RecordId>();
    await store('manifests', 'a', a);
    await name(['manifest.issue', 'a', a]);
    expect(await exported('manifests', { size: 2 })).to.deep.equal([]);
    expect(await exported('manifests', { size: 3 })).to.deep.equal(['a']);
  });

  it('is left out where it was pruned, or never kept', async () => {
    const [a, b, c] = [newId<RecordId>(), newId<RecordId>(), newId<RecordId>()];
    await store('manifests', 'a', a, true);
    await store('manifests', 'c', c);
    await name(['manifest.issue', 'a', a], ['manifest.void', 'b', b], ['manifest.issue', 'c', c]);
    expect(await exported('manifests')).to.deep.equal(['c']);
  });

  it('goes page by page over more than a page of records and of bytes', async () => {
    const jwss = Array.from({ length: 1200 }, (_, i) => i.toString().padStart(8192, '.'));
    await log.owner.query(
      `insert into receipts (jti, sha256, node_id, boot_id, seq, record_id, jws)
       select gen_random_uuid(), sha256(convert_to(j, 'UTF8')), gen_random_uuid(), gen_random_uuid(), 0, gen_random_uuid(),
              convert_to(j, 'UTF8') from unnest($1::text[]) j`,
      [jwss],
    );
    await name(...jwss.map((jws): Naming => ['receipt.accept', jws]));
    const chunks: Buffer[] = [];
    for await (const chunk of evidenceLines(log.database, 'receipts', { from: 0, size: 1202 })) chunks.push(chunk);
    expect(parse(Buffer.concat(chunks))).to.deep.equal(jwss);
    expect(chunks.length).to.be.greaterThan(2);
    for (const chunk of chunks) expect(chunk.length).to.be.lessThan(4.5 * 1024 * 1024);
  });

  async function store(table: EvidenceTable, jws: string, recordId: RecordId, isPruned = false): Promise<void> {
    const values = [sha256Hex(jws), recordId, isPruned ? null : Buffer.from(jws)];
    await log.database.query(
      table === 'manifests'
        ? `insert into manifests (jti, sha256, node_id, term, issued_at, expires_at, task_ids, attempts, open, record_id, jws)
           values (gen_random_uuid(), decode($1, 'hex'), gen_random_uuid(), 1, now(), now(), '{}', '{}', 0, $2, $3)`
        : `insert into receipts (jti, sha256, node_id, boot_id, seq, record_id, jws)
           values (gen_random_uuid(), decode($1, 'hex'), gen_random_uuid(), gen_random_uuid(), 0, $2, $3)`,
      values,
    );
  }

  async function name(...namings: readonly Naming[]): Promise<void> {
    await log.append(
      namings.map(([type, jws, id = newId<RecordId>()]): RecordDraft => {
        const outcome = type === 'receipt.late' ? 'deny' : 'success';
        const data = type.startsWith('manifest.')
          ? { manifest_sha256: sha256Hex(jws), jti: newId() }
          : { receipt_sha256: sha256Hex(jws), results: [[newId(), 1, 'succeeded']] };
        return { id, type, outcome, data };
      }),
    );
    await log.chain();
  }

  async function exported(table: EvidenceTable, { from = 0, size = 100 } = {}): Promise<string[]> {
    return parse(await readAll(evidenceLines(log.database, table, { from, size })));
  }

  function parse(member: Buffer): string[] {
    const lines = member.toString('utf8').split('\n').slice(0, -1);
    return lines.map((line) => {
      const { sha256, jws } = JSON.parse(line) as EvidenceLine;
      expect(sha256).to.equal(sha256Hex(jws));
      return jws;
    });
  }
});
