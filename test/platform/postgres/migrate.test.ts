/** Migrations: order, once each, changed files, newer databases, many processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { FatalError } from '../../../src/domain/error.ts';
import { migrate } from '../../../src/platform/postgres/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const MODULE = new URL('../../../src/platform/postgres/migrate.ts', import.meta.url).href;

describe('migrations', () => {
  let test: TestDatabase;
  let directory: string;

  beforeEach(async () => {
    test = await createTestDatabase({ empty: true });
    directory = await mkdtemp(join(tmpdir(), 'writ-test-migrations-'));
    await write('0001_first.sql', 'create table first (n int); insert into first values (1);');
    await write('0002_second.sql', 'create table second (n int); insert into second select n from first;');
  });

  afterEach(async () => {
    await test.drop();
    await rm(directory, { recursive: true, force: true });
  });

  function write(name: string, sql: string): Promise<void> {
    return writeFile(join(directory, name), sql);
  }

  function run(): Promise<{ applied: string[] }> {
    return migrate({ url: test.url, directory });
  }

  async function refusal(): Promise<string> {
    const error: unknown = await run().then(
      () => expect.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(FatalError);
    return (error as FatalError).message;
  }

  async function count(table: string): Promise<number> {
    return (await test.database.query(`select from ${table}`)).rowCount;
  }

  it('apply what is missing, in order, and nothing twice', async () => {
    expect(await run()).to.deep.equal({ applied: ['0001_first.sql', '0002_second.sql'] });
    expect(await run()).to.deep.equal({ applied: [] });
    await write('0003_third.sql', 'insert into second values (2)');
    expect(await run()).to.deep.equal({ applied: ['0003_third.sql'] });
    expect(await count('second')).to.equal(2);
  });

  it('leave the schema dump alone', async () => {
    await write('schema.sql', 'this is not for running');
    expect((await run()).applied).to.have.length(2);
  });

  it('change nothing where a file fails, keep those before, and name file and line', async () => {
    await write('0002_second.sql', 'create table second (n int);\n\ncreate table third (n nonsense);\n');
    expect(await refusal()).to.match(/0002_second\.sql, line 3: type "nonsense" does not exist/);
    const { rows } = await test.database.query('select name from migrations');
    expect(rows).to.deep.equal([{ name: '0001_first.sql' }]);
    expect((await test.database.query("select to_regclass('second') as t")).rows).to.deep.equal([{ t: null }]);
  });

  it('refuse a file that has changed since it was applied', async () => {
    await run();
    await write('0001_first.sql', 'create table first (n int);');
    await write('0003_third.sql', 'create table third (n int);');
    expect(await refusal()).to.contain('0001_first.sql has changed');
    expect((await test.database.query("select to_regclass('third') as t")).rows).to.deep.equal([{ t: null }]);
  });

  it('refuse a database that is newer than the program', async () => {
    await run();
    await rm(join(directory, '0002_second.sql'));
    expect(await refusal())
      .to.contain('newer than this program')
      .and.to.contain('0002_second.sql');
  });

  for (const name of ['0004_gap.sql', 'second.sql', '0002_again.sql']) {
    it(`refuse a folder with ${name} in it`, async () => {
      await write(name, 'select 1');
      expect(await refusal()).to.contain(name === '0002_again.sql' ? '0002_second.sql' : name);
      expect((await test.database.query("select to_regclass('first') as t")).rows).to.deep.equal([{ t: null }]);
    });
  }

  it('fail as unavailable where there is no database', async () => {
    const url = test.url.replace(/:\d+\//, ':1/');
    const error: unknown = await migrate({ url, directory }).catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'unavailable', reason: 'database_unavailable' });
  });

  it('are applied once when eight callers start together', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => run()));
    expect(outcomes.flatMap(({ applied }) => applied).sort()).to.deep.equal(['0001_first.sql', '0002_second.sql']);
    expect(await count('second')).to.equal(1);
  });

  it('are applied once when eight processes start together', async () => {
    const program = `
      import { migrate } from ${JSON.stringify(MODULE)};
      const { applied } = await migrate({ url: process.argv[1], directory: process.argv[2] });
      process.stdout.write(applied.map((name) => name + '\\n').join(''));`;
    const applied = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const args = ['--import=tsx', '--input-type=module', '-e', program, test.url, directory];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        const chunks: Buffer[] = [];
        child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
        const [code] = (await once(child, 'close')) as [number];
        expect(code).to.equal(0);
        return Buffer.concat(chunks).toString().split('\n').filter(Boolean);
      }),
    );
    expect(applied.flat().sort()).to.deep.equal(['0001_first.sql', '0002_second.sql']);
    expect(await count('second')).to.equal(1);
  }).timeout(30_000);
});
