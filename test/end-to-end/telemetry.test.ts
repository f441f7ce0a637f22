import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import type { Broker, Consumer, Delivery, PublishOutcome } from '../../src/domain/broker.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import type { Principal } from '../../src/domain/principal.ts';
import type { AuditRecord } from '../../src/proof/record.ts';
import { deadEvents, type DeadEvents } from '../../src/telemetry/dead-events.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig, type RigOptions } from './rig.ts';

const eventsQueue = 'telemetry.events';
const batchesQueue = 'telemetry.batches';
const deadLetters = 'telemetry.events.dlq';
const quick = { telemetry_backoff_initial_s: 0.02, telemetry_backoff_max_s: 0.05 };

const noops = (count: number): object[] =>
  Array.from({ length: count }, () => ({ tool: 'noop', action: 'run', payload: {} }));

describe('telemetry on its way to consumers', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;

  async function start(options: RigOptions = {}): Promise<void> {
    rig = await startRig({ ...options, flags: { ...quick, ...options.flags } });
    operator = await rig.principal('integration', ['operator']);
  }

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  /** A consumer of its own; `take` gets what arrives. */
  async function consume(
    queue: string,
    prefetch: number,
    take: (deliveries: Delivery[], consumer: Consumer) => void,
  ): Promise<{ connection: Broker; consumer: Consumer }> {
    const connection = await rig.connectConsumer();
    const consumer = await connection.consume(queue, {
      prefetch,
      onDeliveries: (deliveries) => {
        take(deliveries, consumer);
      },
      onCancelled: () => undefined,
    });
    return { connection, consumer };
  }

  async function count(query: string): Promise<number> {
    const { rows } = await rig.database.query<{ n: number }>(query);
    return rows[0]?.n ?? -1;
  }

  function untilCount(query: string, least: number): Promise<number> {
    return eventually(async () => {
      const found = await count(query);
      return found >= least ? found : undefined;
    });
  }

  async function records(type: string): Promise<AuditRecord[]> {
    const { rows } = await rig.database.query<{ line: Buffer }>({
      text: 'select line from audit_log where type = $1 order by seq',
      values: [type],
    });
    return rows.map(({ line }) => JSON.parse(line.toString('utf8')) as AuditRecord);
  }

  function dead(): DeadEvents {
    const { database, broker, audit, telemetryNames } = rig.orchestrator;
    return deadEvents({ database, broker, audit, names: telemetryNames });
  }

  it('is whole for a consumer that dies in the middle and comes back', async () => {
    await start();
    await rig.addNode('alpha');
    await rig.pauseTelemetry();
    const seen: string[] = [];
    let acknowledged = 0;
    const first = await consume(eventsQueue, 7, (deliveries, consumer) => {
      for (const delivery of deliveries) {
        const event = eventOf(delivery);
        rig.events.push(event);
        seen.push(event.event_id);
        // It dies with a prefetch in hand that it has dealt with and not acknowledged.
        if (acknowledged++ < 20) consumer.ack([delivery]);
      }
    });
    await rig.submit(operator, noops(30));
    await eventually(() => (acknowledged >= 27 ? true : undefined));
    await rig.sever(first.connection);
    await rig.submit(operator, noops(30));
    await rig.settled();
    await rig.resumeTelemetry();
    const { problems } = await rig.atRest();
    expect(problems).to.deep.equal([]);
    const ids = rig.events.map(({ event_id }) => event_id);
    expect(ids.length - new Set(ids).size).to.equal(7);
    expect(gapsOf(rig.events)).to.deep.equal([]);
    expect(rig.events.filter(({ event_type }) => event_type === 'task.finished')).to.have.length.at.least(60);
  });

  it('is the same on both feeds', async () => {
    await start({ flags: { telemetry_feeds: 'both' } });
    const batched: TelemetryEvent[] = [];
    let messages = 0;
    await consume(batchesQueue, 10, (deliveries, consumer) => {
      for (const delivery of deliveries) {
        const events = batchOf(delivery);
        expect(delivery.headers['x-event-count']).to.equal(events.length);
        batched.push(...events);
        messages++;
      }
      consumer.ack(deliveries);
    });
    await rig.addNode('alpha');
    await rig.submit(operator, noops(100));
    await rig.settled();
    await rig.atRest();
    await eventually(() => (batched.length === rig.events.length ? true : undefined));
    expect(batched).to.deep.equal(rig.events);
    expect(messages).to.be.below(batched.length / 2);
    expect(gapsOf(batched)).to.deep.equal([]);
  });

  it('waits in the log while the queue is full, and loses nothing when a slow consumer drains it', async () => {
    await start({ telemetryQueueMaxLength: 10 });
    await rig.addNode('alpha');
    await rig.pauseTelemetry();
    await rig.submit(operator, noops(60));
    await rig.settled();
    await eventually(async () => ((await rig.broker.depth(eventsQueue)) === 10 ? true : undefined));
    const behind = `select h.size - p.next_seq as n from audit_head h, projections p where p.name = 'telemetry.events'`;
    expect(await untilCount(behind, 1)).to.be.at.least(1);
    const { consumer } = await consume(eventsQueue, 1, ([delivery], slow) => {
      if (delivery === undefined) return;
      rig.events.push(eventOf(delivery));
      setTimeout(() => {
        slow.ack([delivery]);
      }, 2);
    });
    const { problems } = await rig.atRest();
    expect(problems).to.deep.equal([]);
    expect(rig.events.filter(({ event_type }) => event_type === 'task.finished')).to.have.length.at.least(60);
    expect(rig.log.filter(({ event }) => event === 'telemetry.dead')).to.deep.equal([]);
    expect(new Set(rig.events.map(({ event_id }) => event_id)).size).to.equal(rig.events.length);
    await consumer.cancel();
  });

  it('is kept among the dead letters where a consumer rejects it', async () => {
    await start();
    await rig.addNode('alpha');
    await rig.pauseTelemetry();
    const rejected: string[] = [];
    const picky = await consume(eventsQueue, 5, (deliveries, consumer) => {
      for (const delivery of deliveries) {
        const event = eventOf(delivery);
        if (event.event_type === 'task.finished') {
          rejected.push(event.event_id);
          consumer.reject([delivery], { requeue: false });
        } else {
          rig.events.push(event);
          consumer.ack([delivery]);
        }
      }
    });
    await rig.submit(operator, noops(12));
    await rig.settled();
    await eventually(() => (rejected.length === 12 ? true : undefined));
    await eventually(async () => ((await rig.broker.depth(deadLetters)) === 12 ? true : undefined));
    await picky.consumer.cancel();
    await rig.resumeTelemetry();
    const letters: TelemetryEvent[] = [];
    await consume(deadLetters, 20, (deliveries, consumer) => {
      for (const delivery of deliveries) {
        expect(delivery.deaths[0]).to.include({ queue: eventsQueue, reason: 'rejected', count: 1 });
        letters.push(eventOf(delivery));
      }
      consumer.ack(deliveries);
    });
    await eventually(() => (letters.length === 12 ? true : undefined));
    expect(letters.map(({ event_id }) => event_id)).to.deep.equal(rejected);
    putInPlace(rig.events, letters);
  });

  it('is kept as dead where a batch is too large for the broker, and the feed goes on', async () => {
    await start({ messageMaxBytes: 64 * 1024, flags: { telemetry_feeds: 'both', telemetry_max_attempts: 2 } });
    const batched: TelemetryEvent[] = [];
    await consume(batchesQueue, 10, (deliveries, consumer) => {
      for (const delivery of deliveries) batched.push(...batchOf(delivery));
      consumer.ack(deliveries);
    });
    await rig.submit(operator, noops(500));
    await eventually(() => (batched.some(isNotice) ? true : undefined));
    const kept = await dead().list(0, 100);
    expect(kept).to.not.deep.equal([]);
    for (const { feed, reason, attempts, type } of kept) {
      expect([feed, reason, attempts, type]).to.deep.equal(['batches', 'too_large', 2, 'telemetry.batch']);
    }
    const [record] = await records('telemetry.dead');
    expect(record).to.deep.include({ outcome: 'failure', reason: 'too_large' });
    expect(record?.data).to.include({ feed: 'batches' });
    expect(await dead().resend(operator, 'test')).to.deep.equal({ sent: 0, refused: kept.length });
    expect(await dead().list(0, 100)).to.have.length(kept.length);
    rig.orchestrator.engine.changed();
    await rig.atRest();
    const lost = kept.flatMap(({ body }) => linesOf(body));
    await eventually(() => (batched.length + lost.length === rig.events.length ? true : undefined));
    putInPlace(batched, lost);
    expect(batched).to.deep.equal(rig.events);
  });

  it('is sent again from among the dead when the cause is mended', async () => {
    const broker = new StrictBroker();
    await start({ wrapBroker: (inner) => broker.around(inner), flags: { telemetry_max_attempts: 3 } });
    await rig.submit(operator, noops(1));
    await eventually(() => (rig.events.some(({ event_type }) => event_type === 'task.submitted') ? true : undefined));
    broker.maxBytes = 64 + Math.max(...rig.events.map((event) => JSON.stringify(event).length));
    const requestId = 'r'.repeat(128);
    const { submitter } = rig.orchestrator;
    await submitter.submit({ principal: operator, items: noops(8), mode: 'batch', requestId });
    await rig.submit(operator, noops(1));
    await eventually(() => (rig.events.some(isNotice) ? true : undefined));
    const kept = await dead().list(0, 100);
    expect(kept.map(({ feed, reason, attempts, type }) => [feed, reason, attempts, type])).to.deep.equal(
      Array(8).fill(['events', 'too_large', 3, 'task.submitted']),
    );
    const notices = await records('telemetry.dead');
    expect(notices.map(({ reason, data }) => [reason, data?.feed, data?.messages])).to.deep.equal([
      ['too_large', 'events', 8],
    ]);
    expect(gapsOf(rig.events)).to.have.length(1);
    broker.maxBytes = Number.POSITIVE_INFINITY;
    const before = rig.events.length;
    expect(await dead().resend(operator, 'test')).to.deep.equal({ sent: 8, refused: 0 });
    expect(await dead().list(0, 100)).to.deep.equal([]);
    rig.orchestrator.engine.changed();
    await untilCount(`select count(*) as n from audit_log where type = 'telemetry.resend'`, 1);
    await eventually(() => (rig.events.length >= before + 9 ? true : undefined));
    const again = rig.events.filter(({ attributes }) => attributes.request_id === requestId);
    expect(again.map(({ event_id }) => event_id)).to.deep.equal(kept.map(({ message_id }) => message_id));
    putInPlace(rig.events, []);
  });
});

function eventOf(delivery: Delivery): TelemetryEvent {
  return JSON.parse(Buffer.from(delivery.body).toString('utf8')) as TelemetryEvent;
}

function batchOf(delivery: Delivery): TelemetryEvent[] {
  return linesOf(Buffer.from(delivery.body));
}

function linesOf(body: Buffer): TelemetryEvent[] {
  const lines = body.toString('utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as TelemetryEvent);
}

function isNotice({ event_type }: TelemetryEvent): boolean {
  return event_type === 'telemetry.undeliverable';
}

/** Records after which a consumer sees, by `previous_audit_seq` alone, that it was not told of something. */
function gapsOf(events: readonly TelemetryEvent[]): number[] {
  const seen = new Set<string>();
  const gaps: number[] = [];
  let seq = -1;
  for (const { event_id, attributes } of events) {
    if (seen.has(event_id)) continue;
    seen.add(event_id);
    if (attributes.audit_seq !== seq && attributes.previous_audit_seq !== seq) gaps.push(seq);
    seq = attributes.audit_seq;
  }
  return gaps;
}

/** As a consumer does that fills its gaps later: by record, then by place in it. */
function putInPlace(events: TelemetryEvent[], late: readonly TelemetryEvent[]): void {
  events.push(...late);
  events.sort((a, b) => a.attributes.audit_seq - b.attributes.audit_seq || a.attributes.index - b.attributes.index);
}

/** Refuses telemetry above a size for good, until the limit is raised. */
class StrictBroker {
  maxBytes = Number.POSITIVE_INFINITY;

  around(inner: Broker): Broker {
    return {
      declare: (topology, options) => inner.declare(topology, options),
      deleteQueue: (name) => inner.deleteQueue(name),
      depth: (queue) => inner.depth(queue),
      health: () => inner.health(),
      close: () => inner.close(),
      consume: (queue, options) => inner.consume(queue, options),
      publish: async (messages) => {
        const isTaken = messages.map(({ body, exchange }) => exchange === '' || body.length <= this.maxBytes);
        const outcomes = await inner.publish(messages.filter((_, i) => isTaken[i]));
        return isTaken.map((taken): PublishOutcome =>
          taken ? (outcomes.shift() ?? { outcome: 'unconfirmed' }) : { outcome: 'refused', reason: 'too_large' },
        );
      },
    };
  }
}
