import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { raised } from '../../src/platform/postgres/raised.ts';
import { sqlState } from '../../src/platform/postgres/failure.ts';
import { startTestLog, type TestLog } from './test-log.ts';

describe('the tables of the log', () => {
  let log: TestLog;

  before(async () => {
    log = await startTestLog();
    await log.grow(300);
    await log.sign();
  });

  after(() => log.drop());

  for (const table of ['audit_log', 'audit_tiles', 'checkpoints']) {
    const column = table === 'audit_log' ? 'line' : table === 'audit_tiles' ? 'hashes' : 'note';
    for (const statement of [
      `update ${table} set ${column} = ${column}`,
      `delete from ${table}`,
      `truncate ${table}`,
    ]) {
      it(`refuse the owner: ${statement}`, async () => {
        const failure: unknown = await log.owner.query(statement).catch((error: unknown) => error);
        expect(raised(failure)?.code).to.equal('WR900');
      });

      it(`refuse the service: ${statement}`, async () => {
        const failure: unknown = await log.database.query(statement).catch((error: unknown) => error);
        // Insufficient privilege: the trigger is not even asked.
        expect(sqlState(failure)).to.equal('42501');
      });
    }
  }

  it('refuse to lose the head, also to the owner', async () => {
    const failure: unknown = await log.owner.query('delete from audit_head').catch((error: unknown) => error);
    expect(raised(failure)?.code).to.equal('WR900');
  });

  it('refuse the service another origin', async () => {
    const failure: unknown = await log.database.query(`update audit_head set origin = 'x'`).catch((e: unknown) => e);
    expect(sqlState(failure)).to.equal('42501');
  });

  it('refuse a second head', async () => {
    const insert = `insert into audit_head values ('other', 0, decode(repeat('00', 32), 'hex'))`;
    const failure: unknown = await log.database.query(insert).catch((error: unknown) => error);
    expect(sqlState(failure)).to.equal('23505');
  });
});
