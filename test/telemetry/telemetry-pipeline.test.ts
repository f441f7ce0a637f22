/** The feed of batches, whether its records are handed over or read from the log. */

import { expect } from 'chai';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { systemClock } from '../../src/domain/clock.ts';
import type { Broker, Delivery } from '../../src/domain/broker.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { AuditLogger } from '../../src/ledger/audit-logger.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { batchesKey, telemetryTopology } from '../../src/telemetry/feeds.ts';
import { TelemetryPipeline } from '../../src/telemetry/telemetry-pipeline.ts';
import { TelemetryPublisher } from '../../src/telemetry/telemetry-publisher.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const names = {
  exchange: 'telemetry',
  routingKey: 'events',
  queue: 'telemetry.events',
  deadLetterQueue: 'telemetry.dlq',
};
const origin = 'test.example/log';

describe('the pipeline of telemetry', function () {
  this.timeout(60_000);
  let test: TestDatabase;
  let owner: Database;

  beforeEach(async () => {
    test = await createTestDatabase();
    owner = createPool({ url: test.url, max: 1 });
    await test.database.query(
      `insert into leader (term, holder, expires_at) values (1, gen_random_uuid(), now() + interval '1 hour')`,
    );
  });
  afterEach(async () => {
    await owner.close();
    await test.drop();
  });

  /** A log that grows, a pipeline over it, and what a consumer has got. */
  class Feed {
    readonly received: number[] = [];
    readonly #broker: Broker = new InProcessBrokerServer().connect();
    #pipeline = this.#open();
    #size = 0;

    async begin(): Promise<void> {
      await owner.query('truncate projections, feed_epochs');
      const { rows } = await test.database.query<{ size: number }>(
        'select coalesce(max(seq) + 1, 0) as size from audit_log',
      );
      this.#size = rows[0]?.size ?? 0;
      // What is in the log from another run is not told of again.
      await test.database.query(
        `insert into projections (name, next_seq, last_seq) values ('telemetry.batches', $1, $2)`,
        [this.#size, this.#size === 0 ? null : this.#size - 1],
      );
      await this.#broker.declare(telemetryTopology(names, ['batches']));
      const consumer = await this.#broker.consume(batchesKey, {
        prefetch: 1000,
        onDeliveries: (deliveries: Delivery[]) => {
          for (const { body } of deliveries) {
            for (const line of Buffer.from(body).toString().trim().split('\n')) {
              this.received.push((JSON.parse(line) as TelemetryEvent).attributes.audit_seq);
            }
          }
          consumer.ack(deliveries);
        },
        onCancelled: () => undefined,
      });
    }

    /** Appends records to the log, and hands them over or not. */
    async grow(count: number, isTold: boolean): Promise<void> {
      const from = this.#size;
      const lines = Array.from({ length: count }, (_, i) =>
        Buffer.from(
          JSON.stringify({
            log: origin,
            seq: from + i,
            ts: '2026-01-01T00:00:00.000Z',
            type: 'log.heartbeat',
            outcome: 'success',
          }),
        ),
      );
      await test.database.query(
        `insert into audit_log (seq, id, at, type, outcome, leaf, line)
         select $1::bigint + n - 1, gen_random_uuid(), now(), 'log.heartbeat', 'success', sha256(line), line
           from unnest($2::bytea[]) with ordinality as l (line, n)`,
        [from, lines],
      );
      this.#size += count;
      if (isTold) this.#pipeline.take(from, lines);
    }

    /** Runs as a loop does: again while it says that more waits. */
    async run(): Promise<void> {
      while (await this.#pipeline.runOnce());
    }

    /** As the next leader does: nothing is held, the cursor is read. */
    restart(): void {
      this.#pipeline = this.#open();
    }

    async finish(first: number, looks = 2): Promise<void> {
      // What was handed over to nobody is found when the loop looks again by itself.
      for (let look = 0; look < looks; look++) await this.run();
      await new Promise((resolve) => setImmediate(resolve));
      expect(this.received).to.deep.equal(Array.from({ length: this.#size - first }, (_, i) => first + i));
    }

    get size(): number {
      return this.#size;
    }

    #open(): TelemetryPipeline {
      return new TelemetryPipeline({
        ...{ database: test.database, audit: new AuditLogger(origin), broker: this.#broker, clock: systemClock },
        ...{ term: 1, feed: 'batches', names, queue: batchesKey, isWanted: () => true },
        publisher: new TelemetryPublisher(this.#broker, 3),
        declare: () => Promise.resolve(),
        onDead: () => undefined,
        onMemoryLost: () => undefined,
      });
    }
  }

  it('tells of each record once and in order, whichever are handed over', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(fc.constant('grow' as const), fc.integer({ min: 1, max: 700 }), fc.boolean()) },
      { weight: 2, arbitrary: fc.constant(['run'] as const) },
      { weight: 1, arbitrary: fc.constant(['restart'] as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const feed = new Feed();
        await feed.begin();
        const first = feed.size;
        for (const [what, count = 0, isTold = false] of steps) {
          if (what === 'grow') await feed.grow(count, isTold);
          else if (what === 'run') await feed.run();
          else feed.restart();
        }
        await feed.finish(first);
      }),
      { numRuns: 30 },
    );
  });

  it('does not stop before it has told of what it was handed too much of', async () => {
    const feed = new Feed();
    await feed.begin();
    await feed.grow(600, true);
    await feed.grow(600, true);
    await feed.finish(0, 1);
  });
});
