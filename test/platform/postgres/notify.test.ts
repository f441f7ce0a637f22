/** Waking other processes. */
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createNotifier, saidMaxBytes, type Notifier } from '../../../src/platform/postgres/notify.ts';
import type { Database, Statement } from '../../../src/platform/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

/** Counts calls and lets a test wait for so many. */
function createBell() {
  let count = 0;
  const waiting: { count: number; resolve: () => void }[] = [];
  return {
    ring: () => {
      count += 1;
      for (const one of waiting) if (count >= one.count) one.resolve();
    },
    rings: () => count,
    rung: (wanted: number) =>
      new Promise<void>((resolve) => {
        if (count >= wanted) resolve();
        else waiting.push({ count: wanted, resolve });
      }),
  };
}

describe('a notifier', () => {
  let test: TestDatabase;
  let opened: Notifier[];

  beforeEach(async () => {
    test = await createTestDatabase({ empty: true });
    opened = [];
  });

  afterEach(async () => {
    for (const notifier of opened) await notifier.close();
    await test.drop();
  });

  function open(database: Pick<Database, 'query'> = test.database, intervalMs = 5): Notifier {
    const notifier = createNotifier({ database, url: test.url, intervalMs, backoffMs: { first: 1, longest: 20 } });
    opened.push(notifier);
    return notifier;
  }

  it('wakes the handlers of other processes', async () => {
    const [here, there] = [open(), open()];
    const bell = createBell();
    await there.listen('tasks', bell.ring);
    here.notify('tasks');
    await bell.rung(1);
  });

  it('does not wake its own handlers', async () => {
    const [here, there] = [open(), open()];
    const [own, other] = [createBell(), createBell()];
    await here.listen('tasks', own.ring);
    await there.listen('tasks', other.ring);
    here.notify('tasks');
    await other.rung(1);
    const last = createBell();
    await here.listen('last', last.ring);
    there.notify('first');
    // These two go together, in this order.
    there.notify('tasks');
    there.notify('last');
    await last.rung(1);
    expect(own.rings(), 'the wake of the other alone').to.equal(1);
  });

  it('wakes the handlers of the channel alone, and not those taken away', async () => {
    const [here, there] = [open(), open()];
    const [tasks, other, gone] = [createBell(), createBell(), createBell()];
    await there.listen('other', other.ring);
    const takeAway = await there.listen('tasks', gone.ring);
    await there.listen('tasks', tasks.ring);
    takeAway();
    here.notify('tasks');
    await tasks.rung(1);
    expect([other.rings(), gone.rings()]).to.deep.equal([0, 0]);
  });

  it('sends the first at once and all of the next interval in one statement', async () => {
    const sent: unknown[] = [];
    const bell = createBell();
    const database = {
      query: (statement: string | Statement) => {
        sent.push((statement as Statement).values?.[0]);
        bell.ring();
        return Promise.resolve({ rows: [], rowCount: 0 });
      },
    };
    const here = open(database, 20);
    here.notify('a');
    expect(sent).to.deep.equal([['a']]);
    for (let i = 0; i < 100; i += 1) {
      here.notify('a');
      here.notify('b');
    }
    expect(sent).to.have.length(1);
    await bell.rung(2);
    expect(sent).to.deep.equal([['a'], ['a', 'b']]);
  });

  it('brings what was said, each thing once, and nothing where something may be missing', async () => {
    const [here, there] = [open(), open()];
    const heard: (string | undefined)[] = [];
    const bell = createBell();
    await there.listen('tasks', (said) => {
      heard.push(said);
      bell.ring();
    });
    here.notify('tasks', 'first');
    for (const said of ['a', 'b é', 'a']) here.notify('tasks', said);
    here.notify('tasks');
    await bell.rung(4);
    expect(heard).to.deep.equal(['first', 'a', 'b é', '']);
    await test.database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'writ listen'",
    );
    await bell.rung(5);
    expect(heard[4]).to.equal(undefined);
  });

  it('says as much as PostgreSQL takes, and refuses more', async () => {
    const [here, there] = [open(), open()];
    const bell = createBell();
    const long = 'x'.repeat(saidMaxBytes);
    let heard: string | undefined;
    await there.listen('tasks', (said) => {
      heard = said;
      bell.ring();
    });
    here.notify('tasks', long);
    await bell.rung(1);
    expect(heard).to.equal(long);
    expect(() => here.notify('tasks', `${long}x`)).to.throw(RangeError);
  });

  it('connects again when its connection ends, and wakes for what it may have missed', async () => {
    const [here, there] = [open(), open()];
    const bell = createBell();
    await there.listen('tasks', bell.ring);
    await test.database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'writ listen'",
    );
    await bell.rung(1);
    here.notify('tasks');
    await bell.rung(2);
  });

  it('fails to listen where there is no database', async () => {
    const notifier = createNotifier({ database: test.database, url: test.url.replace(/:\d+\//, ':1/') });
    opened.push(notifier);
    const error: unknown = await notifier.listen('tasks', () => undefined).catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'unavailable', reason: 'database_unavailable' });
  });

  it('refuses a channel that is more than a name', () => {
    expect(() => open().notify('a; drop table b')).to.throw(TypeError);
  });
});
