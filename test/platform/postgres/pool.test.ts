/** The pool: what values become, what failures become, and that nothing of it ends the process. */
import { createServer, type AddressInfo } from 'node:net';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { sqlState, violatedConstraint } from '../../../src/platform/postgres/failure.ts';
import { createPool, type Database } from '../../../src/platform/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  );
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error = await failure(promise);
  expect(error).to.be.instanceOf(AppError);
  return (error as AppError).reason;
}

describe('a pool of database connections', () => {
  let test: TestDatabase;
  let database: Database;

  before(async () => {
    test = await createTestDatabase({ empty: true });
    database = test.database;
    await database.query('create table notes (id int8 primary key, text text)');
  });

  after(() => test.drop());

  describe('values', () => {
    it('come as numbers, dates, buffers and arrays', async () => {
      const { rows } = await database.query(
        `select 9007199254740991::int8 as big, array[1, null, 3]::int8[] as bigs, '{{1,2},{3,4}}'::int8[] as pairs,
                '2026-01-02T03:04:05.678Z'::timestamptz as at, '\\x00ff'::bytea as bytes,
                array['01890a5d-ac96-774b-bcce-b302099a8057']::uuid[] as ids, array['\\x01']::bytea[] as leaves`,
      );
      expect(rows).to.deep.equal([
        {
          big: Number.MAX_SAFE_INTEGER,
          bigs: [1, null, 3],
          pairs: [
            [1, 2],
            [3, 4],
          ],
          at: new Date('2026-01-02T03:04:05.678Z'),
          bytes: Buffer.from([0, 255]),
          ids: ['01890a5d-ac96-774b-bcce-b302099a8057'],
          leaves: [Buffer.from([1])],
        },
      ]);
    });

    it('go in as they come out', async () => {
      const at = new Date('2026-01-02T03:04:05.678Z');
      const bytes = [Buffer.from([0, 1]), Buffer.from('\\x"{},')];
      const { rows } = await database.query('select $1::timestamptz as at, $2::bytea[] as bytes, $3::text[] as texts', [
        at,
        bytes,
        ['a,"b"', '\\', null, ''],
      ]);
      expect(rows).to.deep.equal([{ at, bytes, texts: ['a,"b"', '\\', null, ''] }]);
    });

    it('of int8 beyond the safe integers are an error, alone and in arrays', async () => {
      expect(await failure(database.query('select 9007199254740992::int8'))).to.be.instanceOf(RangeError);
      expect(await failure(database.query('select array[-9007199254740992]::int8[]'))).to.be.instanceOf(RangeError);
      expect((await database.query('select 1 as one')).rows).to.deep.equal([{ one: 1 }]);
    });
  });

  it('prepares a named statement once for each connection', async () => {
    const one = createPool({ url: test.url, max: 1 });
    const statement = { name: 'double', text: 'select $1::int * 2 as n' };
    expect((await one.query({ ...statement, values: [4] })).rows).to.deep.equal([{ n: 8 }]);
    expect((await one.query(statement, [5])).rows).to.deep.equal([{ n: 10 }]);
    const { rows } = await one.query('select name from pg_prepared_statements');
    expect(rows).to.deep.equal([{ name: 'double' }]);
    await one.close();
  });

  it('takes on the role it is given, the name, and the time limits', async () => {
    await database.query('create role pool_test_role nologin');
    const limited = createPool({
      url: test.url,
      max: 1,
      role: 'pool_test_role',
      applicationName: 'tester',
      lockTimeoutMs: 1234,
    });
    const { rows } = await limited.query(
      `select current_user::text as who, current_setting('application_name') as name, current_setting('lock_timeout') as lock,
              current_setting('statement_timeout') as statement`,
    );
    expect(rows).to.deep.equal([{ who: 'pool_test_role', name: 'tester', lock: '1234ms', statement: '30s' }]);
    await limited.close();
    await database.query('drop role pool_test_role');
  });

  it('refuses a role that is more than a name', () => {
    expect(() => createPool({ url: test.url, max: 1, role: 'a -c fsync=off' })).to.throw(TypeError);
  });

  describe('a transaction', () => {
    it('commits what it did when it returns', async () => {
      const answer = await database.transaction(async (tx) => {
        await tx.query('insert into notes values (1, $1)', ['kept']);
        return 'done';
      });
      expect(answer).to.equal('done');
      expect((await database.query('select text from notes where id = 1')).rows).to.deep.equal([{ text: 'kept' }]);
    });

    it('undoes what it did when it throws, and passes the error on', async () => {
      const problem = new Error('no');
      const work = database.transaction(async (tx) => {
        await tx.query('insert into notes values (2)');
        throw problem;
      });
      expect(await failure(work)).to.equal(problem);
      expect((await database.query('select from notes where id = 2')).rowCount).to.equal(0);
    });

    it('isolates as asked, and refuses writes where it only reads', async () => {
      const { rows } = await database.transaction(
        (tx) => tx.query("select current_setting('transaction_isolation') as level"),
        { isolation: 'repeatable read', readOnly: true },
      );
      expect(rows).to.deep.equal([{ level: 'repeatable read' }]);
      const write = database.transaction((tx) => tx.query('insert into notes values (3)'), { readOnly: true });
      expect(sqlState(await failure(write))).to.equal('25006');
    });
  });

  describe('a failure', () => {
    it('of a constraint passes with its name', async () => {
      await database.query('insert into notes values (10)');
      const error = await failure(database.query('insert into notes values (10)'));
      expect(sqlState(error)).to.equal('23505');
      expect(violatedConstraint(error)).to.equal('notes_pkey');
    });

    it('to connect is database_unavailable, with its cause and a time to wait', async () => {
      const away = createPool({ url: `postgres://x:y@127.0.0.1:${await unusedPort()}/z`, max: 1 });
      const error = await failure(away.query('select 1'));
      expect(error).to.be.instanceOf(AppError);
      expect(error).to.include({ code: 'unavailable', reason: 'database_unavailable' });
      expect((error as AppError).details.retryAfterS).to.be.greaterThan(0);
      expect((error as AppError).cause).to.have.property('code', 'ECONNREFUSED');
      expect(await reasonOf(away.transaction((tx) => tx.query('select 1')))).to.equal('database_unavailable');
      await away.close();
    });

    it('to get a connection in time is database_unavailable', async () => {
      const narrow = createPool({ url: test.url, max: 1, connectTimeoutMs: 100 });
      await narrow.transaction(async () => {
        expect(await reasonOf(narrow.query('select 1'))).to.equal('database_unavailable');
      });
      await narrow.close();
    });

    it('to answer in time is database_busy', async () => {
      const hasty = createPool({ url: test.url, max: 1, statementTimeoutMs: 50 });
      expect(await reasonOf(hasty.query('select pg_sleep(10)'))).to.equal('database_busy');
      expect((await hasty.query('select 1 as one')).rows).to.deep.equal([{ one: 1 }]);
      await hasty.close();
    });

    it('of two transactions in each other’s way is database_contention', async () => {
      await database.query('insert into notes values (20), (21)');
      const work = database.transaction(
        async (tx) => {
          await tx.query('select count(*) from notes');
          await database.query("update notes set text = 'other' where id = 20");
          await tx.query("update notes set text = 'mine' where id = 20");
        },
        { isolation: 'repeatable read' },
      );
      expect(await reasonOf(work)).to.equal('database_contention');
    });
  });

  describe('connections that the server ends', () => {
    const OTHERS = `select from pg_stat_activity where application_name = 'doomed'`;
    const END_OTHERS = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'doomed'`;

    it('do no harm while idle', async () => {
      const doomed = createPool({ url: test.url, max: 2, applicationName: 'doomed' });
      await Promise.all([doomed.query('select 1'), doomed.query('select 1')]);
      await database.query(END_OTHERS);
      await pollUntil(async () =>
        doomed.query('select 1').then(
          ({ rowCount }) => rowCount === 1,
          () => false,
        ),
      );
      await doomed.close();
    });

    it('fail what was running as database_unavailable, and are replaced', async () => {
      const doomed = createPool({ url: test.url, max: 1, applicationName: 'doomed' });
      const running = reasonOf(doomed.query('select pg_sleep(10)'));
      await pollUntil(async () => (await database.query(`${END_OTHERS} and query like '%pg_sleep%'`)).rowCount > 0);
      expect(await running).to.equal('database_unavailable');
      expect((await doomed.query('select 1 as one')).rows).to.deep.equal([{ one: 1 }]);
      await doomed.close();
    });

    it('fail a transaction between two statements, and are replaced', async () => {
      const doomed = createPool({ url: test.url, max: 1, applicationName: 'doomed' });
      const work = doomed.transaction(async (tx) => {
        await tx.query('select 1');
        await database.query(END_OTHERS);
        // The news comes while nothing runs on the connection.
        await pollUntil(async () => (await database.query(OTHERS)).rowCount === 0);
        await tx.query('select 1');
      });
      expect(await reasonOf(work)).to.equal('database_unavailable');
      expect((await doomed.query('select 1 as one')).rows).to.deep.equal([{ one: 1 }]);
      await doomed.close();
    });
  });

  it('counts every statement it sends', async () => {
    const counted = createPool({ url: test.url, max: 1 });
    await counted.query('select 1');
    await counted.transaction((tx) => tx.query('select 1'));
    expect(counted.statements()).to.equal(4);
    await counted.close();
    await counted.close();
    expect(await reasonOf(counted.query('select 1'))).to.equal('database_unavailable');
  });
});

async function pollUntil(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
