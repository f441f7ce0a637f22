/** A broker that has lost its memory is noticed, once, and its consumers are told again what they may not have had. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Broker } from '../../src/domain/broker.ts';
import { AppError } from '../../src/domain/error.ts';
import { epochQueue } from '../../src/domain/queues.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import type { Queryable } from '../../src/platform/postgres/pool.ts';
import { checkBrokerMemory } from '../../src/telemetry/broker-memory.ts';
import type { Feed } from '../../src/telemetry/feeds.ts';
import { cursorName, noteConsumed } from '../../src/telemetry/rewind.ts';
import { readCursor, readEpoch, type Cursor } from '../../src/telemetry/telemetry-sql.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

describe('the memory of a broker', () => {
  let test: TestDatabase;
  let broker: Broker;

  beforeEach(async () => {
    test = await createTestDatabase();
    broker = new InProcessBrokerServer().connect();
  });
  afterEach(() => test.drop());

  /** Another server in its place, or the same one with nothing in it. */
  function wipe(): void {
    broker = new InProcessBrokerServer().connect();
  }

  const check = (feed: Feed = 'events', on: { db?: Queryable; broker?: Broker } = {}): Promise<'same' | 'lost'> =>
    checkBrokerMemory(on.db ?? test.database, on.broker ?? broker, feed);

  async function setCursor(next: number, feed: Feed = 'events'): Promise<void> {
    await test.database.query(
      `insert into projections (name, next_seq, last_seq) values ($1, $2::bigint, $2::bigint - 1)
       on conflict (name) do update set next_seq = excluded.next_seq, last_seq = excluded.last_seq`,
      [cursorName(feed), next],
    );
  }

  const cursor = (feed: Feed = 'events'): Promise<Cursor> => readCursor(test.database, cursorName(feed));

  async function isThere(epoch: string | undefined): Promise<boolean> {
    return broker.depth(epochQueue(epoch ?? '')).then(
      () => true,
      () => false,
    );
  }

  /** As if the process had died when it came to a statement, or to the broker. */
  function dyingAt(statement: string): Queryable {
    const db = test.database;
    const query = (given: Parameters<Queryable['query']>[0], ...rest: unknown[]): unknown =>
      typeof given === 'object' && given.name === statement
        ? Promise.reject(new Error('killed'))
        : (db.query as (...all: unknown[]) => unknown)(given, ...rest);
    return { query } as Queryable;
  }

  const failing = (part: Partial<Broker>): Broker => ({ ...bound(broker), ...part });

  function bound(whole: Broker): Broker {
    return {
      declare: (topology, options) => whole.declare(topology, options),
      deleteQueue: (name) => whole.deleteQueue(name),
      publish: (messages) => whole.publish(messages),
      consume: (queue, options) => whole.consume(queue, options),
      depth: (queue) => whole.depth(queue),
      health: () => whole.health(),
      close: () => whole.close(),
    };
  }

  async function expectKilled(call: Promise<unknown>): Promise<void> {
    const failure: unknown = await call.catch((error: unknown) => error);
    expect(failure).to.have.property('message', 'killed');
  }

  it('is begun the first time, and nothing goes again', async () => {
    await setCursor(50);
    expect(await check()).to.equal('same');
    const epoch = await readEpoch(test.database, 'events');
    expect(await isThere(epoch)).to.equal(true);
    expect(await cursor()).to.deep.equal({ next_seq: 50, last_seq: 49 });
  });

  it('is the same as long as the broker is, for every process that asks', async () => {
    await check();
    const epoch = await readEpoch(test.database, 'events');
    await setCursor(50);
    for (let i = 0; i < 3; i++) expect(await check()).to.equal('same');
    expect(await readEpoch(test.database, 'events')).to.equal(epoch);
    expect(await cursor()).to.deep.equal({ next_seq: 50, last_seq: 49 });
  });

  it('is lost with the broker, and the feed goes on from what its consumers have had; then it is the same again', async () => {
    await check();
    const epoch = await readEpoch(test.database, 'events');
    await setCursor(50);
    await noteConsumed(test.database, 'events', 20);
    wipe();
    expect(await check()).to.equal('lost');
    expect(await cursor()).to.deep.equal({ next_seq: 20, last_seq: null });
    const next = await readEpoch(test.database, 'events');
    expect(next).to.not.equal(epoch);
    expect(await isThere(next)).to.equal(true);
    await setCursor(30);
    expect(await check()).to.equal('same');
    expect(await cursor()).to.deep.equal({ next_seq: 30, last_seq: 29 });
  });

  it('is lost with its one queue, also where all the others are there', async () => {
    await check();
    await setCursor(50);
    await broker.declare({ exchanges: [], queues: [{ name: 'telemetry.events', type: 'quorum' }], bindings: [] });
    await broker.deleteQueue(epochQueue((await readEpoch(test.database, 'events')) ?? ''));
    expect(await check()).to.equal('lost');
    expect((await cursor()).next_seq).to.equal(0);
  });

  it('where it is lost before anybody had anything, all goes again', async () => {
    await check();
    await setCursor(50);
    wipe();
    expect(await check()).to.equal('lost');
    expect(await cursor()).to.deep.equal({ next_seq: 0, last_seq: null });
  });

  it('never moves a feed forward, whatever was noted of its consumers', async () => {
    await check();
    await setCursor(10);
    await noteConsumed(test.database, 'events', 40);
    wipe();
    expect(await check()).to.equal('lost');
    expect(await cursor()).to.deep.equal({ next_seq: 10, last_seq: 9 });
  });

  it('is judged for each feed by itself', async () => {
    await check('events');
    await check('batches');
    const [events, batches] = [await readEpoch(test.database, 'events'), await readEpoch(test.database, 'batches')];
    expect(events).to.not.equal(batches);
    await setCursor(50, 'events');
    await setCursor(50, 'batches');
    await noteConsumed(test.database, 'batches', 30);
    await broker.deleteQueue(epochQueue(batches ?? ''));
    expect(await check('events')).to.equal('same');
    expect(await check('batches')).to.equal('lost');
    expect([(await cursor('events')).next_seq, (await cursor('batches')).next_seq]).to.deep.equal([50, 30]);
  });

  it('is not declared again by whatever declares what was declared: it must not come back without what was in it', async () => {
    const once: unknown[] = [];
    const declare: Broker['declare'] = (topology, options) => {
      once.push(options?.once);
      return broker.declare(topology, options);
    };
    await check('events', { broker: failing({ declare }) });
    expect(once).to.deep.equal([true]);
  });

  for (const code of ['unavailable', 'forbidden'] as const) {
    it(`is not called lost where the broker cannot be asked (${code})`, async () => {
      await check();
      await setCursor(50);
      const away = failing({ depth: () => Promise.reject(new AppError(code, 'no')) });
      const failure: unknown = await check('events', { broker: away }).catch((error: unknown) => error);
      expect(failure).to.include({ code });
      expect(await cursor()).to.deep.equal({ next_seq: 50, last_seq: 49 });
      expect(await check()).to.equal('same');
    });
  }

  describe('where the process dies', () => {
    beforeEach(async () => {
      await check();
      await setCursor(50);
      await noteConsumed(test.database, 'events', 20);
      wipe();
    });

    /** Whoever comes next finds it lost, and the feed where its consumers are. */
    async function expectNoticed(): Promise<void> {
      expect(await check()).to.equal('lost');
      expect(await cursor()).to.deep.equal({ next_seq: 20, last_seq: null });
      expect(await check()).to.equal('same');
    }

    it('before the feed is set back, it is done again', async () => {
      await expectKilled(check('events', { db: dyingAt('rewind_feed') }));
      expect((await cursor()).next_seq).to.equal(50);
      await expectNoticed();
    });

    it('between that and the new queue, it is done again', async () => {
      const declare = (): Promise<never> => Promise.reject(new Error('killed'));
      await expectKilled(check('events', { broker: failing({ declare }) }));
      expect((await cursor()).next_seq).to.equal(20);
      await expectNoticed();
    });

    it('between the new queue and its name in the database, it is done again', async () => {
      const before = await readEpoch(test.database, 'events');
      await expectKilled(check('events', { db: dyingAt('write_feed_epoch') }));
      expect(await readEpoch(test.database, 'events')).to.equal(before);
      await expectNoticed();
    });

    it('again and again, it is noticed all the same', async () => {
      for (let i = 0; i < 3; i++) await expectKilled(check('events', { db: dyingAt('write_feed_epoch') }));
      await expectNoticed();
    });
  });

  it('where the process dies the first time, it is begun by the next, and nothing goes again', async () => {
    await setCursor(50);
    await expectKilled(check('events', { db: dyingAt('write_feed_epoch') }));
    expect(await readEpoch(test.database, 'events')).to.equal(undefined);
    expect(await check()).to.equal('same');
    expect(await cursor()).to.deep.equal({ next_seq: 50, last_seq: 49 });
  });
});
