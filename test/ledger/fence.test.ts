import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Mark } from '../../src/domain/mark.ts';
import { checkFence, FencedError } from '../../src/ledger/fence.ts';
import { startTestLog, type TestLog } from './test-log.ts';

describe('the fence', () => {
  let log: TestLog;

  beforeEach(async () => {
    log = await startTestLog();
    await log.grow(398);
  });

  afterEach(() => log.drop());

  const rollBack = (size: number): string[] => [
    `delete from audit_log where seq >= ${size.toString()}`,
    `delete from checkpoints where size > ${size.toString()}`,
    `delete from audit_tiles where (n + 1) * 256 > ${size.toString()}`,
    `update audit_head set size = ${size.toString()},
       leaf = (select leaf from audit_log where seq = ${(size - 1).toString()})`,
  ];

  it('lets a log pass that was never signed', async () => {
    expect(await checkFence(log.database, log.mark)).to.equal(undefined);
  });

  it('lets a log pass that is as long as its mark, and one that went on', async () => {
    await log.sign();
    const mark = await log.mark.read();
    expect(await checkFence(log.database, log.mark)).to.deep.equal(mark);
    await log.grow(1);
    expect(mark?.size).to.equal(400);
    expect(await checkFence(log.database, log.mark)).to.deep.equal(mark);
  });

  it('lets a log pass whose leader died between mark and checkpoint', async () => {
    await log.sign();
    await log.grow(200);
    const dying = await log.checkpointer({
      signer: { ...log.signer, sign: () => Promise.reject(new Error('killed')) },
    });
    await dying.runOnce(600).catch(() => undefined);
    expect((await checkFence(log.database, log.mark))?.size).to.equal(600);
  });

  it('refuses a database that was copied back from an earlier state', async () => {
    await log.sign();
    await log.tamper(...rollBack(300));
    expect(await refusal()).to.equal('log_shorter_than_mark');
  });

  it('refuses one that was copied back and went on past the mark', async () => {
    await log.sign();
    await log.tamper(...rollBack(300));
    await log.grow(200);
    expect(await refusal()).to.equal('log_differs_from_mark');
  });

  it('refuses one that was copied back to before its first checkpoint', async () => {
    await log.sign();
    await log.tamper(...rollBack(1));
    expect(await refusal()).to.equal('log_shorter_than_mark');
  });

  it('refuses a log whose head says that it is whole, but whose records are gone', async () => {
    await log.sign();
    await log.tamper('delete from audit_log where seq >= 300');
    expect(await refusal()).to.equal('log_differs_from_mark');
  });

  it('refuses a log one of whose hashes was changed, in a tile or beyond the last full one', async () => {
    await log.sign();
    await log.tamper(`update audit_log set leaf = sha256('other') where seq = 399`);
    expect(await refusal()).to.equal('log_differs_from_mark');
    await log.tamper(`update audit_tiles set root = sha256('other') where n = 0`);
    expect(await refusal()).to.equal('log_differs_from_mark');
  });

  it('refuses a log that was signed and whose mark is missing', async () => {
    await log.sign();
    const none: Mark = { read: () => Promise.resolve(undefined), write: () => Promise.reject(new Error('no')) };
    expect(await refusal(none)).to.equal('mark_missing');
  });

  it('refuses a log whose mark cannot be read', async () => {
    const down: Mark = { ...log.mark, read: () => Promise.reject(new Error('no such server')) };
    expect(await refusal(down)).to.equal('mark_unavailable');
  });

  it('lets no checkpointer of a refused log sign', async () => {
    await log.sign();
    await log.tamper(...rollBack(300));
    await log.grow(200);
    const failure: unknown = await log.checkpointer().catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(FencedError);
    const { rows } = await log.database.query<{ size: number }>('select size from checkpoints');
    expect(rows).to.deep.equal([]);
  });

  async function refusal(mark = log.mark): Promise<unknown> {
    const failure: unknown = await checkFence(log.database, mark).catch((error: unknown) => error);
    return failure instanceof FencedError ? failure.reason : failure;
  }
});
