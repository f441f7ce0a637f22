import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { AppError } from '../../src/domain/error.ts';
import { exportBundle, type ExportRange } from '../../src/ledger/export.ts';
import { readProofs } from '../../src/ledger/proofs.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import type { VerifyReport } from '../../src/proof/report.ts';
import { parseTlogProof } from '../../src/proof/tlog-proof.ts';
import { startRig, type Rig } from '../end-to-end/rig.ts';
import { linesOf, readBundle, verifyBySecond, verifyMembers, type BundleMembers } from './read-bundle.ts';

const wholeMembers = [
  'bundle.json',
  'log.vkey',
  'checkpoint',
  'checkpoints.jsonl',
  'keys.json',
  'records.jsonl',
  'manifests.jsonl',
  'receipts.jsonl',
];

describe('an export of real work', function () {
  this.timeout(60_000);
  let rig: Rig;
  let owner: Database;
  let size: number;
  let taskId: string;

  before(async () => {
    rig = await startRig();
    owner = createPool({ url: rig.url, max: 1 });
    for (const name of ['alpha', 'beta']) {
      await rig.addNode(name, { slots: 4 });
      const operator = await rig.principal(`operator-${name}`, ['operator']);
      for (const count of [1, 30]) {
        const tasks = await rig.submit(
          operator,
          Array.from({ length: count }, () => ({ tool: 'noop', action: 'run' })),
        );
        taskId = tasks[0]?.task_id ?? '';
      }
      await rig.settled();
      size = await signed();
    }
  });

  after(async () => {
    await owner.close();
    await rig.stop();
  });

  /** Resolves with the log's size when a checkpoint covers all of it. */
  async function signed(): Promise<number> {
    for (;;) {
      const { rows } = await rig.database.query<{ size: number }>(
        `select h.size from audit_head h join checkpoints c on c.size = h.size where not exists (select from audit_inbox)`,
      );
      if (rows[0] !== undefined) return rows[0].size;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const vkey = (): string => rig.orchestrator.vkey;

  async function read(range: ExportRange = {}, db: Pick<Database, 'query'> = rig.database): Promise<BundleMembers> {
    return readBundle(await exportBundle(db, range, { origin: rig.orchestrator.origin, vkey: vkey() }));
  }

  async function expectVerified(members: BundleMembers): Promise<VerifyReport> {
    const report = await verifyMembers(members, vkey());
    expect(report.first_bad).to.equal(undefined);
    expect(report.absences).to.deep.equal([]);
    expect(report.exit_code).to.equal(0);
    expect(await verifyBySecond(members, vkey())).to.deep.equal({ status: 0, text: 'verified\n' });
    return report;
  }

  it('verifies, by both verifiers', async () => {
    const members = await read();
    expect([...members.keys()]).to.deep.equal(wholeMembers);
    const { counts } = await expectVerified(members);
    expect(counts).to.include({ records: size, tasks: 62, orders: 62, accepted: 62, open: 0, unsubmitted: 0, keys: 3 });
    expect(counts.checkpoints)
      .to.equal(linesOf(members, 'checkpoints.jsonl').length + 1)
      .and.be.greaterThan(1);
  });

  it('verifies from any record on, by both verifiers', async () => {
    for (const from of [1, 2, 3, Math.floor(size / 2), size - 1]) {
      const members = await read({ from });
      expect([...members.keys()]).to.deep.equal([...wholeMembers, 'trust.jsonl']);
      const { counts } = await expectVerified(members);
      expect(counts.records).to.equal(size - from);
    }
  });

  it('ends with the first checkpoint that covers the last record asked for', async () => {
    const { rows } = await rig.database.query<{ size: number }>('select size from checkpoints order by size');
    const [first = 0, second = 0] = rows.map((row) => row.size);
    for (const [to, expected] of [
      [0, first],
      [first - 1, first],
      [first, second],
      [size - 1, size],
    ] as const) {
      const members = await read({ to });
      const { counts, size: verified } = await verifyMembers(members, vkey());
      expect([verified, counts.records]).to.deep.equal([expected, expected]);
      expect((await verifyMembers(members, vkey())).exit_code).not.to.equal(1);
    }
  });

  it('may be a part that begins and ends inside the log', async () => {
    const members = await read({ from: 3, to: 4 });
    expect((await verifyMembers(members, vkey())).exit_code).not.to.equal(1);
    expect(linesOf<{ seq: number }>(members, 'records.jsonl')[0]?.seq).to.equal(3);
  });

  it('is refused where it would hold no records, or what is not signed yet', async () => {
    expect(await refusal({ from: size })).to.deep.equal(['invalid', 'no_records']);
    expect(await refusal({ from: 5, to: 4 })).to.deep.equal(['invalid', 'no_records']);
    expect(await refusal({ to: size })).to.deep.equal(['conflict', 'not_checkpointed']);
  });

  it('holds what proves a task: the records of its proofs are in it', async () => {
    const records = new Set((await read()).get('records.jsonl')?.toString('utf8').split('\n'));
    const proven = (await readProofs(rig.database, { task_id: taskId })).map((proof) =>
      Buffer.from(parseTlogProof(proof).extra ?? []).toString('utf8'),
    );
    const types = proven.map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types).to.deep.equal(['task.submit', 'manifest.issue', 'receipt.accept']);
    for (const line of proven) expect(records.has(line)).to.equal(true);
  });

  const flips: readonly [member: string, text: string][] = [
    ['bundle.json', '"size":'],
    ['log.vkey', '+'],
    ['checkpoint', '\n'],
    ['checkpoints.jsonl', '"note":"'],
    ['keys.json', '"x":"'],
    ['records.jsonl', '"actor":{"id":"'],
    ['manifests.jsonl', '"jws":"'],
    ['receipts.jsonl', '"sha256":"'],
    ['trust.jsonl', '"proof":["'],
  ];

  for (const [member, text] of flips) {
    it(`shows one changed byte in ${member}, to both verifiers`, async () => {
      const members = await read({ from: member === 'trust.jsonl' ? 5 : 0 });
      const bytes = members.get(member) ?? Buffer.alloc(0);
      const at = bytes.indexOf(text) + text.length;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(await verifyMembers(members, vkey())).to.include({ exit_code: 1 });
      expect((await verifyBySecond(members, vkey())).status).to.equal(1);
    });
  }

  const changes: readonly [what: string, statement: string, range?: ExportRange][] = [
    ['a record was changed', `update audit_log set line = overlay(line placing 'X'::bytea from 20) where seq = 6`],
    ['the last record was changed, and its hash with it', changeLast()],
    ['a record was deleted', 'delete from audit_log where seq = 7'],
    [
      'two records changed places',
      'update audit_log set seq = case seq when 5 then -6 else -5 end where seq in (5, 6)',
    ],
    [
      'a key was slipped under a record',
      `update audit_log set line = replace_once(line, '"x":"', '"x":"A') where seq = 1`,
    ],
    ['a checkpoint has another root', `update checkpoints set note = replace(note, '=', '+')`],
    ['a manifest was changed', `update manifests set jws = overlay(jws placing 'X'::bytea from 200)`],
    [
      'a receipt was exchanged for another',
      'update receipts set jws = (select jws from receipts order by jti limit 1)',
    ],
    ['a tile was changed, in a part', `update audit_log set leaf = sha256('x') where seq = 2`, { from: 5 }],
  ];

  for (const [what, statement, range] of changes) {
    it(`shows that in the database ${what}`, async () => {
      const members = await readAltered(statement, range);
      expect(await verifyMembers(members, vkey())).to.include({ exit_code: 1 });
      expect((await verifyBySecond(members, vkey())).status).to.equal(1);
    });
  }

  it('is incomplete where evidence is gone from the database', async () => {
    const members = await readAltered('delete from manifests');
    expect(await verifyMembers(members, vkey())).to.include({ exit_code: 2, verdict: 'incomplete' });
    expect(members.get('manifests.jsonl')).to.have.length(0);
  });

  /** What an export holds after a change by the owner, which is taken back then. */
  async function readAltered(statement: string, range?: ExportRange): Promise<BundleMembers> {
    const takenBack = new Error('taken back');
    let members: BundleMembers | undefined;
    try {
      await owner.transaction(async (tx) => {
        for (const table of ['audit_log', 'audit_tiles', 'checkpoints']) {
          await tx.query(`alter table ${table} disable trigger user`);
        }
        await tx.query(`create function replace_once(b bytea, old text, new text) returns bytea language sql as
          $$ select convert_to(replace(convert_from(b, 'UTF8'), old, new), 'UTF8') $$`);
        const changed = await tx.query(statement);
        if (changed.rowCount === 0) throw new Error('nothing was changed');
        await tx.query('update audit_log set seq = -seq where seq < 0');
        members = await read(range, tx);
        throw takenBack;
      });
    } catch (error) {
      if (error !== takenBack) throw error;
    }
    if (members === undefined) throw new Error('nothing was exported');
    return members;
  }

  function changeLast(): string {
    const line = `overlay(line placing 'X'::bytea from 20)`;
    return `update audit_log set line = ${line}, leaf = sha256('\\x00'::bytea || ${line})
             where seq = (select max(seq) from audit_log)`;
  }

  async function refusal(range: ExportRange): Promise<string[]> {
    const failure = await read(range).catch((error: unknown) => error as AppError);
    return failure instanceof Map ? [] : [failure.code, failure.reason];
  }
});
