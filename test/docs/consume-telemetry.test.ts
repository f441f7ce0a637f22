import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { afterEach, before, beforeEach, describe, it } from 'mocha';
import { makeCertificates } from '../../scripts/services/certificates.ts';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import type { OutgoingMessage } from '../../src/domain/broker.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { realPartsMissing, testRabbitMq } from '../support/services.ts';
import { examples, killExamples, startExample, type Example, type ExampleConsumer } from './example-consumer.ts';
import { makeEvents, messagesOf, openTelemetryQueues, type TelemetryQueues } from './telemetry-queue.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('docs/consume-telemetry.md', () => {
  const page = readPage('docs/consume-telemetry.md');

  it('names the versions that the examples are tested with', () => {
    const [, pika] = /^pika==(\S+)/.exec(readPage('docs/examples/requirements.txt')) ?? [];
    const { packages } = JSON.parse(readPage('package-lock.json')) as { packages: Record<string, { version: string }> };
    expect(page).to.include(`[pika ${pika}]`);
    expect(readPage('docs/examples/consume_telemetry.py')).to.include(`pika ${pika})`);
    for (const text of [page, readPage('docs/examples/consume-telemetry.ts')]) {
      expect(text).to.include(`amqplib@${packages['node_modules/amqplib']?.version} `);
    }
  });

  it('names the settings and notices that both examples have', () => {
    const arguments_ = [...page.matchAll(/^\| `--(\w+)` \| `TELEMETRY_(\w+)` \|/gm)].map(([, name, variable]) => {
      expect(variable).to.equal(name?.toUpperCase());
      return name;
    });
    const notices = [...page.matchAll(/^\| `(\w+)` \| (?:`\w+`, )+/gm)].map(([, name]) => name);
    expect(notices).to.include('gap');
    for (const path of ['docs/examples/consume_telemetry.py', 'docs/examples/consume-telemetry.ts']) {
      const text = readPage(path);
      expect([...text.matchAll(/ setting\(["'](\w+)["']/g)].map(([, name]) => name)).to.have.members(arguments_);
      expect(new Set([...text.matchAll(/notice\(["'](\w+)["']/g)].map(([, name]) => name))).to.have.keys(notices);
    }
  });
});

describe('a consumer as docs/consume-telemetry.md has it', function () {
  this.timeout(60_000);
  for (const example of examples) describe(example.name, () => exampleSuite(example));
});

function exampleSuite(example: Example): void {
  let service: RabbitMqService;
  let folder: string;
  let queues: TelemetryQueues;

  before(async function () {
    this.timeout(360_000);
    if (realPartsMissing() !== undefined) this.skip();
    await example.command().catch((error: unknown) => {
      if (process.env['CI'] === 'true') throw error;
      console.log(`skipped is ${example.name}: ${(error as Error).message}`);
      this.skip();
    });
    service = await testRabbitMq();
  });

  beforeEach(async () => {
    folder = await makeScratchFolder('writ-consumer-');
    queues = await openTelemetryQueues();
  });

  afterEach(async () => {
    killExamples();
    await queues.close();
    rmSync(folder, { recursive: true });
  });

  function environment(changes: Record<string, string> = {}): Record<string, string> {
    const { certPath, keyPath } = service.certificate('writ-consumer');
    return {
      TELEMETRY_URL: queues.url,
      TELEMETRY_CA: service.caPath,
      TELEMETRY_CERT: certPath,
      TELEMETRY_KEY: keyPath,
      TELEMETRY_STATE: join(folder, 'state'),
      ...changes,
    };
  }

  function start(changes: Record<string, string> = {}): Promise<ExampleConsumer> {
    return startExample(example, environment(changes));
  }

  it('tells every event once and in order, and acknowledges it', async () => {
    const events = makeEvents(200);
    await queues.publish('events', events);
    const consumer = await start();
    await consumer.told(200);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal(events);
    expect(consumer.notices).to.deep.equal([{ notice: 'stopped', told: 200, repeated: 0 }]);
    expect(await queues.depth(queues.names.queue)).to.equal(0);
  });

  it('takes its settings as arguments, and passes on types and members that it does not know', async () => {
    const [known, next] = makeEvents(2) as [TelemetryEvent, TelemetryEvent];
    const attributes = { ...next.attributes, novel: { text: 'ü\u2028"', list: [1, null] } };
    const unknown = { ...next, event_type: 'task.dreamt', attributes } as unknown as TelemetryEvent;
    await queues.publish('events', [known, unknown]);
    const words = Object.entries(environment()).flatMap(([name, value]) => [
      name.replace('TELEMETRY_', '--').toLowerCase(),
      value,
    ]);
    const consumer = await startExample(example, { TELEMETRY_URL: 'amqps://localhost:1/' }, words);
    await consumer.told(2);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal([known, unknown]);
  });

  it('drops what comes again, also after it was started again', async () => {
    const events = makeEvents(60);
    const first = await start();
    await queues.publish('events', events.slice(0, 40));
    await queues.publish('events', events.slice(0, 50));
    await first.told(50);
    expect(await first.stop()).to.equal(0);
    expect(first.events).to.deep.equal(events.slice(0, 50));
    expect(first.notices).to.deep.equal([{ notice: 'stopped', told: 50, repeated: 40 }]);
    await queues.publish('events', events);
    const second = await start();
    await second.told(10);
    expect(await second.stop()).to.equal(0);
    expect(second.events).to.deep.equal(events.slice(50));
    expect(second.notices).to.deep.equal([{ notice: 'stopped', told: 10, repeated: 50 }]);
  });

  it('tells every event once in a file though it is killed, and what it had told comes again', async () => {
    const events = makeEvents(1201);
    const output = join(folder, 'events.jsonl');
    const settings = { TELEMETRY_OUTPUT: output, TELEMETRY_PREFETCH: '5' };
    await queues.publish('events', events.slice(0, 1200));
    for (let kills = 1; kills <= 3; kills += 1) {
      const before = linesOf(output).length;
      const killed = await start(settings);
      await eventually(() => (linesOf(output).length > before + 50 ? true : undefined));
      await killed.kill();
      expect(linesOf(output).length).to.be.below(1200);
      // As a kill in the middle of a write leaves it.
      appendFileSync(output, JSON.stringify(events[1199]).slice(0, 100));
    }
    await queues.publish('events', events);
    const last = await start(settings);
    await eventually(() => (linesOf(output).length >= 1201 ? true : undefined));
    expect(await last.stop()).to.equal(0);
    expect(linesOf(output).map((line) => JSON.parse(line) as TelemetryEvent)).to.deep.equal(events);
    expect(last.of('gap')).to.deep.equal([]);
    expect(Number(last.of('stopped')[0]?.repeated)).to.be.at.least(1200);
    expect(await queues.depth(queues.names.queue)).to.equal(0);
  });

  it('ends in order in the middle: nothing is told twice, nothing is lost', async () => {
    const events = makeEvents(1000);
    await queues.publish('events', events);
    const first = await start({ TELEMETRY_PREFETCH: '5' });
    await first.told(50);
    expect(await first.stop()).to.equal(0);
    expect(first.events).to.have.length.below(1000);
    const rest = await start();
    await rest.told(1000 - first.events.length);
    expect(await rest.stop()).to.equal(0);
    expect([...first.events, ...rest.events]).to.deep.equal(events);
    expect(rest.notices.map(({ notice }) => notice)).to.deep.equal(['stopped']);
    // Acknowledgements may be lost on the way, never what they stand for.
    expect(rest.notices[0]?.repeated).to.be.at.most(5);
  });

  it('reports gaps between records and within one, goes on, and takes what was missing when it comes late', async () => {
    const events = makeEvents(60).filter(({ attributes }) => attributes.audit_seq < 50);
    const pairs = events.filter(({ attributes }) => attributes.count === 2 && attributes.audit_seq > 0);
    const [, secondOfOne, firstOfNext] = pairs as [TelemetryEvent, TelemetryEvent, TelemetryEvent];
    const isMissing = (event: TelemetryEvent): boolean =>
      [0, 11, 12].includes(event.attributes.audit_seq) || event === secondOfOne || event === firstOfNext;
    const [last, ...others] = events.filter((event) => !isMissing(event)).toReversed() as [TelemetryEvent];
    const told = others.toReversed();
    const late = events.filter(isMissing);
    const consumer = await start();
    await queues.publish('events', told);
    await consumer.told(told.length);
    // The last is told after all that comes again was taken.
    await queues.publish('events', [...late, ...late, last]);
    await consumer.told(events.length);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal([...told, ...late, last]);
    expect(secondOfOne.attributes).to.include({ index: 1 });
    expect(firstOfNext.attributes).to.include({ index: 0 });
    const [one, next] = [secondOfOne.attributes.audit_seq, firstOfNext.attributes.audit_seq];
    expect(consumer.of('gap')).to.have.deep.members([
      { notice: 'gap', from_audit_seq: 0, to_audit_seq: 0 },
      { notice: 'gap', from_audit_seq: 11, to_audit_seq: 12 },
      { notice: 'gap', audit_seq: one, from_index: 1, to_index: 1 },
      { notice: 'gap', audit_seq: next, from_index: 0, to_index: 0 },
    ]);
    expect(consumer.of('late').map(({ event_id }) => event_id)).to.deep.equal(late.map(({ event_id }) => event_id));
    expect(consumer.of('stopped')[0]).to.include({ repeated: late.length });
  });

  it('sends what is not of the documented form to the dead letters, and tells the thousand others', async () => {
    const events = makeEvents(1000);
    const messages = messagesOf('events', events, queues.names).map(({ message }) => message);
    const [sample] = messages as [OutgoingMessage];
    const poison = malformed(events[0]!).map((body): OutgoingMessage => ({ ...sample, body: Buffer.from(body) }));
    poison.push({ ...sample, contentType: 'text/plain' });
    for (const [i, message] of poison.entries()) messages.splice(5 + i * 40, 0, message);
    await queues.send(messages);
    const consumer = await start();
    await consumer.told(1000);
    const letters = await queues.deadLetters(poison.length);
    expect(await consumer.stop()).to.equal(0);
    expect(letters).to.deep.equal(poison.map(({ body }) => Buffer.from(body).toString()));
    expect(consumer.events).to.deep.equal(events);
    expect(consumer.of('rejected')).to.have.length(poison.length);
    expect(consumer.of('gap')).to.deep.equal([]);
    expect(await queues.depth(queues.names.queue)).to.equal(0);
  });

  it('reads the feed of batches', async () => {
    const events = makeEvents(2100);
    const settings = { TELEMETRY_QUEUE: 'telemetry.batches' };
    await queues.publish('batches', events.slice(0, 1100));
    const first = await start(settings);
    await first.told(1100);
    expect(await first.stop()).to.equal(0);
    // A batch that went out and is sent again may have grown.
    await queues.publish('batches', events.slice(1000));
    const second = await start(settings);
    await second.told(1000);
    expect(await second.stop()).to.equal(0);
    expect([...first.events, ...second.events]).to.deep.equal(events);
    expect(second.notices).to.deep.equal([{ notice: 'stopped', told: 1000, repeated: 100 }]);
  });

  it('rejects a batch as a whole where one line is bad, or one is missing', async () => {
    const events = makeEvents(30);
    const batch = (from: number, change = (text: string) => text): OutgoingMessage => {
      const [made] = messagesOf('batches', events.slice(from, from + 10), queues.names);
      return { ...made!.message, body: Buffer.from(change(Buffer.from(made!.message.body).toString())) };
    };
    const bad = [
      batch(10, (text) => text.replace('"status"', '"stature"')),
      batch(10, (text) => text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1)),
      batch(10, (text) => text.slice(0, -1)),
      batch(10, () => ''),
    ];
    await queues.send([batch(0), ...bad, batch(10), batch(20)]);
    const consumer = await start({ TELEMETRY_QUEUE: 'telemetry.batches' });
    await consumer.told(30);
    expect(await queues.deadLetters(4)).to.deep.equal(bad.map(({ body }) => Buffer.from(body).toString()));
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal(events);
    expect(consumer.of('gap')).to.deep.equal([]);
  });

  it('comes back when its connection is ended, and goes on where it was', async () => {
    const events = makeEvents(1000);
    const consumer = await start({ TELEMETRY_PREFETCH: '5' });
    await queues.publish('events', events.slice(0, 500));
    await consumer.told(20);
    await service.closeConnections('writ-consumer');
    const { reason } = await consumer.noticed('disconnected');
    expect(reason).to.match(/CONNECTION.FORCED/);
    await consumer.told(500);
    await service.closeConnections('writ-consumer');
    await queues.publish('events', events.slice(500));
    await consumer.told(1000);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal(events);
    expect(consumer.of('gap')).to.deep.equal([]);
    expect(consumer.of('disconnected')).to.have.length.at.least(2);
    expect(await queues.depth(queues.names.queue)).to.equal(0);
  });

  it('comes back when its queue is taken away and made again', async () => {
    const events = makeEvents(20);
    const consumer = await start();
    await queues.publish('events', events.slice(0, 10));
    await consumer.told(10);
    await queues.remove();
    await consumer.noticed('disconnected', ({ reason }) => /NOT_FOUND|NOT-FOUND/.test(String(reason)));
    await queues.declare();
    await queues.publish('events', events.slice(10));
    await consumer.told(20);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal(events);
  });

  it('says what lies before the first event that it gets', async () => {
    const events = makeEvents(20);
    await queues.publish('events', events.slice(10));
    const consumer = await start();
    await consumer.told(10);
    expect(await consumer.stop()).to.equal(0);
    expect(consumer.events).to.deep.equal(events.slice(10));
    const [last] = events.slice(9) as [TelemetryEvent];
    const gap = { notice: 'gap', from_audit_seq: 0, to_audit_seq: last.attributes.audit_seq };
    expect(consumer.of('gap')).to.deep.equal([gap]);
  });

  it('does not speak to a broker that another authority vouches for, or that has another name', async () => {
    await queues.publish('events', makeEvents(1));
    const { caPath } = await makeCertificates(join(folder, 'others'));
    // 127.1 is the same machine, and no name in the certificate of the broker.
    const strange: Record<string, string>[] = [
      { TELEMETRY_CA: caPath },
      { TELEMETRY_URL: queues.url.replace('localhost', '127.1') },
    ];
    for (const changes of strange) {
      const consumer = await start(changes);
      const { reason } = await consumer.noticed('disconnected');
      expect(reason).to.match(/certificate|altnames/i);
      await consumer.noticed('disconnected', (notice) => notice !== consumer.of('disconnected')[0]);
      expect(await consumer.stop()).to.equal(0);
      expect(consumer.events).to.deep.equal([]);
    }
    expect(await queues.depth(queues.names.queue)).to.equal(1);
  });

  it('refuses an address without TLS, and one with a password in it', async () => {
    for (const url of [queues.url.replace('amqps', 'amqp'), queues.url.replace('//', '//writ:secret@')]) {
      const consumer = await start({ TELEMETRY_URL: url });
      expect(await consumer.ended).to.equal(2);
      expect(consumer.notices.at(-1)?.text).to.match(/amqps:\/\/HOST/);
    }
  });

  it('ends with status 1 where its output is gone or another, and acknowledges nothing', async () => {
    const output = join(folder, 'events.jsonl');
    const settings = { TELEMETRY_OUTPUT: output };
    await queues.publish('events', makeEvents(1));
    const first = await start(settings);
    await eventually(() => (linesOf(output).length === 1 ? true : undefined));
    expect(await first.stop()).to.equal(0);
    rmSync(output);
    const other = await start(settings);
    expect(await other.ended).to.equal(1);
    expect(other.notices.at(-1)?.text).to.match(/is shorter than/);
    const deaf = await start({ TELEMETRY_STATE: join(folder, 'other-state') });
    deaf.closeOutput();
    await queues.publish('events', makeEvents(3).slice(1));
    expect(await deaf.ended).to.equal(1);
    await eventually(async () => ((await queues.depth(queues.names.queue)) === 2 ? true : undefined));
  });
}

function readPage(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Bodies that are no event; most are one but for a detail. */
function malformed(event: TelemetryEvent): (string | Buffer)[] {
  const text = JSON.stringify(event);
  const withPlace = (member: string, value: string): string =>
    text.replace(new RegExp(`"${member}":-?\\d+`), `"${member}":${value}`);
  return [
    '',
    'no JSON',
    'null',
    '[]',
    '['.repeat(200_000),
    `\ufeff${text}`,
    `${text}}`,
    text.replace('"event_id"', '"id"'),
    text.replace(event.event_id, 'no-uuid'),
    text.replace('"target"', '"aim"'),
    text.replace('"attributes":', '"attributes":null,"others":'),
    withPlace('audit_seq', 'NaN'),
    withPlace('audit_seq', '-1'),
    withPlace('audit_seq', '"1"'),
    withPlace('audit_seq', '1152921504606846976'),
    withPlace('audit_seq', '9'.repeat(5000)),
    withPlace('previous_audit_seq', '7'),
    withPlace('index', '2'),
  ];
}

/** The whole lines of a file that may not be there yet. */
function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}
