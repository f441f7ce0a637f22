import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Mark } from '../../src/domain/mark.ts';
import type { Signer } from '../../src/domain/signer.ts';
import { FencedError } from '../../src/ledger/fence.ts';
import { readLeaves } from '../../src/ledger/log-sql.ts';
import type { Sequenced } from '../../src/ledger/sequencer.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import { raised } from '../../src/platform/postgres/raised.ts';
import { parseNote } from '../../src/proof/note.ts';
import { checkCheckpoint, formatPolicy, parsePolicy } from '../../src/proof/policy.ts';
import { CompactRange } from '../../src/proof/tree.ts';
import { startTestLog, type TestLog } from './test-log.ts';

const killed = new Error('killed here');

describe('Checkpointer', () => {
  let log: TestLog;

  beforeEach(async () => {
    log = await startTestLog();
    await log.grow(8);
  });

  afterEach(() => log.drop());

  it('signs size and root of the log as a note that a policy with its key believes', async () => {
    await log.sign();
    await checkSigned([10]);
  });

  it('signs nothing where nothing has grown', async () => {
    const checkpointer = await log.checkpointer();
    await checkpointer.runOnce(10);
    await checkpointer.runOnce(10);
    await checkSigned([10]);
  });

  it('grows by what it is handed, and reads what it was not', async () => {
    const checkpointer = await log.checkpointer();
    const take = (sequenced: Sequenced): void => {
      checkpointer.take(sequenced);
    };
    await checkpointer.runOnce(10);
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await log.sequencer(1, take).runOnce();
    await checkpointer.runOnce(11);
    await log.grow(300);
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await log.sequencer(1, take).runOnce();
    await checkpointer.runOnce(312);
    await checkSigned([10, 11, 312]);
  });

  it('moves the mark to what it signs', async () => {
    await log.sign();
    const { rows } = await log.database.query<{ size: number; root: Buffer }>('select size, root from checkpoints');
    expect(await log.mark.read()).to.deep.equal({ size: 10, root: rows[0]?.root.toString('base64') });
  });

  it('does not sign for a term that is over, and is no fence for the process that had it', async () => {
    const old = await log.checkpointer();
    await old.runOnce(10);
    await log.lead(2);
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await log.sequencer(2).runOnce();
    await (await log.checkpointer({ term: 2 })).runOnce(11);
    const failure: unknown = await old.runOnce(11).catch((error: unknown) => error);
    expect(raised(failure)?.code).to.equal('WR001');
    await checkSigned([10, 11]);
  });

  for (const [step, options] of [
    ['before the mark moved', (): Options => ({ mark: failingMark('before') })],
    ['after the mark moved', (): Options => ({ mark: failingMark('after') })],
    ['before the signature', (): Options => ({ signer: failingSigner() })],
    ['before the storage', (): Options => ({ database: failingDatabase('before') })],
    ['after the storage', (): Options => ({ database: failingDatabase('after') })],
  ] as const) {
    it(`killed ${step}: the next leader goes on`, async () => {
      await log.sign();
      await log.grow(600);
      const dying = await log.checkpointer(options());
      expect(await dying.runOnce(610).catch((error: unknown) => error)).to.equal(killed);
      await log.grow(1);
      await (await log.checkpointer()).runOnce(611);
      await checkSigned(step === 'after the storage' ? [10, 610, 611] : [10, 611]);
    });

    it(`failed ${step}: the same leader goes on in the next round`, async () => {
      await log.sign();
      await log.grow(600);
      const failing = await log.checkpointer(options());
      expect(await failing.runOnce(610).catch((error: unknown) => error)).to.equal(killed);
      isFailing = false;
      await failing.runOnce(610);
      await log.grow(600);
      await failing.runOnce(1210);
      await checkSigned([10, 610, 1210]);
    });
  }

  it('signs nothing once another log of its origin has moved the mark', async () => {
    await log.sign();
    const checkpointer = await log.checkpointer();
    await log.grow(2);
    await log.mark.write(await log.mark.read(), { size: 11, root: Buffer.alloc(32, 7).toString('base64') });
    const failure: unknown = await checkpointer.runOnce(12).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(FencedError).with.property('reason', 'log_differs_from_mark');
    await checkSigned([10]);
  });

  it('signs nothing once its mark is gone', async () => {
    await log.sign();
    let isGone = false;
    const mark: Mark = {
      read: async () => (isGone ? undefined : log.mark.read()),
      write: (expected, next) => log.mark.write(expected, next),
    };
    const checkpointer = await log.checkpointer({ mark });
    isGone = true;
    await log.grow(1);
    const failure: unknown = await checkpointer.runOnce(11).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(FencedError).with.property('reason', 'mark_missing');
  });

  type Options = Parameters<TestLog['checkpointer']>[0] & object;
  let isFailing = true;
  beforeEach(() => {
    isFailing = true;
  });

  function failingSigner(): Signer {
    const { algorithm, kid, jwk } = log.signer;
    return { algorithm, kid, jwk, sign: (texts) => (isFailing ? Promise.reject(killed) : log.signer.sign(texts)) };
  }

  function failingMark(when: 'before' | 'after'): Mark {
    return {
      read: () => log.mark.read(),
      write: async (expected, next) => {
        if (isFailing && when === 'before') throw killed;
        await log.mark.write(expected, next);
        if (isFailing) throw killed;
      },
    };
  }

  function failingDatabase(when: 'before' | 'after'): Database {
    return {
      ...log.database,
      query: async (statement, values) => {
        const isStorage = typeof statement === 'object' && statement.name === 'insert_checkpoint';
        if (isFailing && isStorage && when === 'before') throw killed;
        const answer = await log.database.query(statement, values);
        if (isFailing && isStorage) throw killed;
        return answer as never;
      },
    };
  }

  /** Each checkpoint is signed by the log's key and has the root of the stored leaves; each full tile is stored once. */
  async function checkSigned(sizes: readonly number[]): Promise<void> {
    const policy = parsePolicy(formatPolicy(log.vkey));
    const { rows } = await log.database.query<{ size: number; root: Buffer; note: string }>(
      'select size, root, note from checkpoints order by size',
    );
    expect(rows.map(({ size }) => size)).to.deep.equal(sizes);
    for (const { size, root, note } of rows) {
      const tree = new CompactRange();
      for (const leaf of await readLeaves(log.database, 0, size)) tree.append(leaf);
      const checked = checkCheckpoint(parseNote(note), policy);
      expect(checked).to.include({ origin: log.origin, size });
      expect([checked?.root, root]).to.deep.equal([tree.root(), tree.root()]);
    }
    const tiles = await log.database.query<{ level: number; n: number }>(
      'select level, n from audit_tiles order by 1, 2',
    );
    const full = Math.floor((sizes.at(-1) ?? 0) / 256);
    expect(tiles.rows).to.deep.equal(Array.from({ length: full }, (_, n) => ({ level: 0, n })));
  }
});
