import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { newId } from '../../src/domain/ids.ts';
import type { RecordDraft } from '../../src/ledger/audit-logger.ts';
import { exportBundle, type BundleExport } from '../../src/ledger/export.ts';
import { formatVerifierKey } from '../../src/proof/note.ts';
import type { RecordObject } from '../../src/proof/record.ts';
import { ed25519Key, p256Key, rawPublicKey, type TestKey } from '../proof/keys.ts';
import { linesOf, readBundle, verifyMembers } from './read-bundle.ts';
import { startTestLog, type TestLog } from './test-log.ts';

describe('an export of many records', () => {
  let log: TestLog;

  before(async () => {
    log = await startTestLog();
    const checkpointer = await log.checkpointer();
    await log.grow(1100);
    for (let size = 1; size <= 1102; size++) {
      if (size > 1090 || size < 10) await checkpointer.runOnce(size);
    }
    const text = 'x'.repeat(50_000);
    await log.append(Array.from({ length: 200 }, () => ({ type: 'a.b', outcome: 'success', data: { text } })));
    await log.chain();
    await log.sign();
    // Chained after the last checkpoint: no part of any export.
    await log.grow(5);
  });

  after(() => log.drop());

  const open = (range = {}): Promise<BundleExport> => exportBundle(log.database, range, log);

  it('verifies, whole and in parts that cross tiles', async () => {
    for (const from of [0, 255, 256, 257, 1000, 1200, 1301]) {
      const members = await readBundle(await open({ from }));
      const report = await verifyMembers(members, log.vkey);
      expect([report.exit_code, report.size, report.counts.records]).to.deep.equal([0, 1302, 1302 - from]);
    }
  });

  it('hands records out in pages of bounded size', async () => {
    const bundle = await open();
    let pages = 0;
    for await (const page of bundle.open('records.jsonl')) {
      pages++;
      expect(page.length).to.be.lessThan(4.5 * 1024 * 1024);
    }
    expect(pages).to.be.greaterThan(3);
  });

  it('stands at the size it was opened with, whatever is chained and signed meanwhile', async () => {
    const bundle = await open();
    await log.grow(20);
    await log.sign();
    const members = await readBundle(bundle);
    expect(await verifyMembers(members, log.vkey)).to.include({ exit_code: 0, size: bundle.size });
    expect(linesOf<{ size: number }>(members, 'checkpoints.jsonl').every(({ size }) => size < bundle.size)).to.equal(
      true,
    );
  });

  it('lists the keys that its records trust and retire, and those of the log apart', async () => {
    const keys = [p256Key(1), ed25519Key(2), ed25519Key(3)] as const;
    const [manifest, node, next] = keys;
    const [from, until] = ['2026-01-01T00:00:00.000Z', '2026-02-01T00:00:00.000Z'];
    const nodeId = newId();
    const vkey = formatVerifierKey(log.origin, rawPublicKey(next));
    const trust = (key: TestKey, rest: RecordObject): RecordDraft => {
      const data = { kid: key.kid, jwk: key.jwk, from, ...rest };
      return { type: 'key.trust', outcome: 'success', data };
    };
    await log.append([
      trust(manifest, { use: 'manifest' }),
      trust(node, { use: 'node', node_id: nodeId }),
      trust(next, { use: 'log', vkey }),
    ]);
    const retire = { type: 'key.retire', outcome: 'success', data: { kid: manifest.kid, until } } as const;
    await log.append([retire, { ...retire, data: { kid: next.kid, until } }]);
    await log.chain();
    await log.sign();
    const members = await readBundle(await open());
    const { keys: listed } = JSON.parse(members.get('keys.json')?.toString() ?? '') as { keys: object[] };
    expect(listed.slice(1)).to.deep.equal([
      { ...manifest.jwk, kid: manifest.kid, writ_use: 'manifest', writ_from: from, writ_until: until },
      { ...node.jwk, kid: node.kid, writ_use: 'node', writ_node: nodeId, writ_from: from },
    ]);
    expect(members.get('log.vkey')?.toString()).to.equal(`${log.vkey}\n${vkey}\n`);
    expect(await verifyMembers(members, log.vkey)).to.include({ exit_code: 0 });
    const part = await readBundle(await open({ from: await log.size().then((size) => size - 1) }));
    expect(linesOf(part, 'trust.jsonl')).to.have.length(6);
    expect(await verifyMembers(part, log.vkey)).to.include({ exit_code: 0 });
  });

  it('lists each checkpoint after its beginning and before its end', async () => {
    const sizes = async (range: object): Promise<number[]> =>
      linesOf<{ size: number }>(await readBundle(await open(range)), 'checkpoints.jsonl').map(({ size }) => size);
    expect(await sizes({ from: 3, to: 1091 })).to.deep.equal([4, 5, 6, 7, 8, 9, 1091]);
    expect(await sizes({ to: 0 })).to.deep.equal([]);
  });

  it('is refused before the first checkpoint', async () => {
    const empty = await startTestLog();
    try {
      const failure: unknown = await exportBundle(empty.database, {}, empty).catch((error: unknown) => error);
      expect(failure).to.include({ code: 'conflict', reason: 'no_checkpoint' });
    } finally {
      await empty.drop();
    }
  });
});
