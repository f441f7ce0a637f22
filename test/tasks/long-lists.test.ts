import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { listTasks } from '../../src/tasks/read-tasks.ts';
import type { TaskFilters } from '../../src/tasks/read-sql.ts';
import { fill, fillOnce } from '../plans/fill.ts';
import { handful, Load } from '../plans/load.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** More than twice what one page looks at. */
const finished = 45_000;
/** Older than any other. */
const oldest = '00000000-0000-7000-8000-000000000001';

describe('lists of tasks among very many', () => {
  let test: TestDatabase;
  let database: Database;

  before(async function () {
    this.timeout(60_000);
    test = await createTestDatabase();
    const owner = createPool({ url: test.url, max: 2 });
    database = test.database;
    await fillOnce(owner);
    await fill(owner, Load.of({ ...handful, finished }));
    for (const table of ['tasks', 'results']) {
      const columns = table === 'tasks' ? { task_id: oldest, source: 'rare' } : { task_id: oldest };
      await owner.query(
        `insert into ${table} select c.* from (select t from ${table} t order by task_id limit 1) o
          cross join lateral jsonb_populate_record(o.t, $1) c`,
        [JSON.stringify(columns)],
      );
    }
    await owner.close();
  });

  after(() => test.drop());

  /** All tasks, by as many pages as it takes. */
  async function pagesOf(filters: TaskFilters, limit = 500): Promise<string[][]> {
    const pages: string[][] = [];
    let cursor: string | undefined;
    do {
      const { items, next_cursor } = await listTasks(database, filters, cursor, limit);
      pages.push(items.map(({ task_id }) => task_id));
      cursor = next_cursor ?? undefined;
    } while (cursor !== undefined);
    return pages;
  }

  it('come to a task however many others lie before it, by pages that have none', async () => {
    expect(await pagesOf({ source: 'rare' })).to.deep.equal([[], [], [oldest]]);
  });

  it('come to it among those of a state too', async () => {
    expect(await pagesOf({ source: 'rare', state: 'succeeded' })).to.deep.equal([[], [], [oldest]]);
  });

  it('end where there is nothing', async () => {
    expect(await pagesOf({ source: 'none' })).to.deep.equal([[], [], []]);
    expect(await pagesOf({ source: 'none', state: 'cancelled' })).to.deep.equal([[]]);
  });

  it('show each task once, newest first, where pages end by what they looked at', async () => {
    const pages = await pagesOf({ tag: 'nightly' }, 150);
    const ids = pages.flat();
    const { rows } = await database.query<{ task_id: string }>(
      `select task_id from tasks where tags @> '["nightly"]' order by task_id desc`,
    );
    expect(ids).to.deep.equal(rows.map(({ task_id }) => task_id));
    expect(ids.length).to.be.above(400);
    expect(pages.every((page) => page.length <= 150)).to.equal(true);
  });
});
