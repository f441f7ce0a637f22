import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Sequenced } from '../../src/ledger/sequencer.ts';
import { readLines } from '../../src/ledger/log-sql.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import { raised } from '../../src/platform/postgres/raised.ts';
import { parseCanonical } from '../../src/proof/canonical-json.ts';
import { checkRecord, firstPrev, leafHash, type AuditRecord } from '../../src/proof/record.ts';
import { startTestLog, type TestLog } from './test-log.ts';

describe('Sequencer', () => {
  let log: TestLog;

  beforeEach(async () => {
    log = await startTestLog();
  });

  afterEach(() => log.drop());

  it('numbers and chains what was committed, each record canonical and naming the one before', async () => {
    await log.append([{ type: 'service.start', outcome: 'success', data: { text: 'Grüße 🌍' } }]);
    await log.grow(10);
    await checkChain(13);
  });

  it('hands over what it chained, with the hashes that are stored', async () => {
    const rounds: Sequenced[] = [];
    expect(await log.sequencer(1, (sequenced) => rounds.push(sequenced)).runOnce()).to.equal(false);
    expect(rounds.map(({ from, lines }) => [from, lines.length])).to.deep.equal([[0, 2]]);
    const stored = await log.database.query<{ leaf: Buffer }>('select leaf from audit_log order by seq');
    expect(rounds[0]?.leaves).to.deep.equal(stored.rows.map(({ leaf }) => leaf));
  });

  it('leaves the inbox empty, and does nothing where it is', async () => {
    const sequencer = log.sequencer(1);
    await sequencer.runOnce();
    expect((await log.database.query('select from audit_inbox')).rowCount).to.equal(0);
    expect(await sequencer.runOnce()).to.equal(false);
    expect(await log.size()).to.equal(2);
  });

  it('takes 4,096 records in a round and says that more wait', async () => {
    for (let i = 0; i < 5; i++)
      await log.append(Array.from({ length: 1000 }, () => ({ type: 'a.b', outcome: 'success' })));
    const sequencer = log.sequencer(1);
    expect(await sequencer.runOnce()).to.equal(true);
    expect(await log.size()).to.equal(4096);
    expect(await sequencer.runOnce()).to.equal(false);
    await checkChain(5002);
  });

  it('is shut out when its term is over, and its records are chained by the next term', async () => {
    const old = log.sequencer(1);
    await old.runOnce();
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await log.lead(2);
    const failure: unknown = await old.runOnce().catch((error: unknown) => error);
    expect(raised(failure)?.code).to.equal('WR001');
    expect(await log.size()).to.equal(2);
    await log.sequencer(2).runOnce();
    await checkChain(3);
  });

  it('makes one chain of two that take turns with the same records before them', async () => {
    const [one, two] = [log.sequencer(1), log.sequencer(1)];
    await one.runOnce();
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await two.runOnce();
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    const failure: unknown = await one.runOnce().catch((error: unknown) => error);
    expect(raised(failure)?.code).to.equal('WR001');
    await one.runOnce();
    await checkChain(4);
  });

  it('goes on after a round of which nobody knows whether it was committed', async () => {
    let isLost = true;
    const flaky: Database = {
      ...log.database,
      query: async (statement, values) => {
        const answer = await log.database.query(statement, values);
        const isRound = typeof statement === 'object' && statement.name === 'sequence_records';
        if (isRound && isLost) throw new Error('the connection was lost after the commit');
        return answer as never;
      },
    };
    const sequencer = log.sequencer(1, undefined, flaky);
    expect(await sequencer.runOnce().catch(() => 'failed')).to.equal('failed');
    isLost = false;
    await log.append([{ type: 'a.b', outcome: 'success' }]);
    await sequencer.runOnce();
    await checkChain(3);
  });

  async function checkChain(size: number): Promise<void> {
    expect(await log.size()).to.equal(size);
    const rows = await readLines(log.database, 0, size + 1, size + 1);
    expect(rows).to.have.length(size);
    let prev = firstPrev;
    const ids = new Set<string>();
    for (const [i, { seq, line }] of rows.entries()) {
      const record: AuditRecord = checkRecord(parseCanonical(line.toString('utf8')));
      expect([seq, record.seq, record.prev, record.log]).to.deep.equal([i, i, prev, log.origin]);
      ids.add(record.id);
      prev = leafHash(line).toString('base64');
    }
    expect(ids.size).to.equal(size);
  }
});
