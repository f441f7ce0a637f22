import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { OrchestratorMetrics, type MetricsSource } from '../../src/app/metrics.ts';
import { startServe } from '../../src/app/serve.ts';
import type { Broker } from '../../src/domain/broker.ts';
import { AppError } from '../../src/domain/error.ts';
import type { Signer } from '../../src/domain/signer.ts';
import { createMetricsDoor } from '../../src/doors/http/metrics-door.ts';
import type { SideDoor } from '../../src/doors/http/side-door.ts';
import { noopTask, openRooms, type Rooms } from '../tasks/rooms.ts';

const headers = { algorithm: 'EdDSA', kid: 'k', jwk: { kty: 'OKP', crv: 'Ed25519', x: 'x' } } as const;

describe('the metrics of an orchestrator', () => {
  let rooms: Rooms;
  let nowMs: number;
  let metrics: OrchestratorMetrics;
  let door: SideDoor;
  let url: string;
  let health: Record<string, { ok: boolean }>;
  let failures: unknown[];

  beforeEach(async () => {
    rooms = await openRooms();
    nowMs = 0;
    failures = [];
    health = { database: { ok: true }, broker: { ok: true }, signer: { ok: true } };
    const clock = { now: () => nowMs, monotonicMs: () => nowMs };
    metrics = new OrchestratorMetrics({ clock, version: '1.2.3', feeds: ['events', 'batches'] });
    const state = { leading: true, fenced_reason: null, signer_ok: true, broker_ok: true };
    const source: MetricsSource = {
      database: rooms.database,
      engine: { state, health: () => Promise.resolve({ ready: true, parts: health }) },
    };
    door = createMetricsDoor({
      listen: { host: '127.0.0.1', port: 0 },
      read: () => metrics.read(source),
      onFailure: (error) => failures.push(error),
    });
    url = `http://127.0.0.1:${(await door.listen()).port.toString()}`;
  });

  afterEach(async () => {
    await door.close();
    await rooms.close();
  });

  /** Values by name and labels, as they are told now. */
  async function scrape(): Promise<Map<string, number>> {
    nowMs += 60_000;
    const text = await (await fetch(`${url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
  }

  it('are told at /metrics alone, to whoever only reads', async () => {
    const answer = await fetch(`${url}/metrics`);
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8');
    expect(await answer.text()).to.include('writ_build_info{version="1.2.3"} 1\n');
    for (const path of ['/', '/metrics/', '/api/v1/health', '/api/v1/tasks']) {
      expect((await fetch(`${url}${path}`)).status, path).to.equal(404);
    }
    expect((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status).to.equal(405);
    expect(failures).to.deep.equal([]);
  });

  it('tell of an empty installation by noughts', async () => {
    const told = await scrape();
    for (const name of ['writ_queue_depth{state="queued"}', 'writ_nodes{status="active"}', 'writ_dead_letters']) {
      expect(told.get(name), name).to.equal(0);
    }
    for (const name of ['writ_queue_oldest_seconds', 'writ_audit_size', 'writ_feed_lag_records{feed="events"}']) {
      expect(told.get(name), name).to.equal(0);
    }
    expect(told.has('writ_checkpoint_age_seconds')).to.equal(false);
  });

  it('tell of queue, nodes and dead letters as they are', async () => {
    await rooms.addNode();
    const [first, second, third] = await rooms.submit([
      noopTask,
      noopTask,
      noopTask,
      { ...noopTask, run_at: '2999-01-01T00:00:00Z' },
    ]);
    const orders = await rooms.dispatch([first!.task_id, second!.task_id]);
    await rooms.end([orders[0]!], 'failed');
    await rooms.asOwner(`update queue set updated_at = now() - interval '90 seconds' where task_id = $1`, [
      third!.task_id,
    ]);
    const told = await scrape();
    expect(told.get('writ_queue_depth{state="queued"}')).to.equal(1);
    expect(told.get('writ_queue_depth{state="waiting"}')).to.equal(1);
    expect(told.get('writ_queue_depth{state="dispatched"}')).to.equal(1);
    expect(told.get('writ_queue_oldest_seconds')).to.be.within(90, 120);
    expect(told.get('writ_nodes{status="active"}')).to.equal(1);
    expect(told.get('writ_nodes{status="gone"}')).to.equal(0);
    expect(told.get('writ_dead_letters')).to.equal(1);
  });

  it('tell how far log, checkpoint and each feed have come', async () => {
    await rooms.submit([noopTask]);
    await rooms.submit([noopTask]);
    await rooms.sequence();
    await rooms.database.query(`insert into projections (name, next_seq) values ('telemetry.events', 1)`);
    await rooms.database.query(
      `insert into checkpoints (size, root, note, at) values (2, decode(repeat('00', 32), 'hex'), '', now() - interval '5 seconds')`,
    );
    const told = await scrape();
    expect(told.get('writ_audit_size')).to.equal(2);
    expect(told.get('writ_checkpoint_age_seconds')).to.be.within(5, 60);
    expect(told.get('writ_feed_lag_records{feed="events"}')).to.equal(1);
    expect(told.get('writ_feed_lag_records{feed="batches"}')).to.equal(2);
    expect(told.get('writ_feed_lag_seconds{feed="batches"}')).to.be.greaterThan(0);
  });

  it('count tasks that ended here by their state, each once', async () => {
    const tasks = await rooms.submit([noopTask, noopTask, noopTask]);
    const orders = await rooms.dispatch(tasks.map(({ task_id }) => task_id));
    await rooms.end(orders.slice(0, 2), 'succeeded');
    await rooms.end(orders.slice(2), 'failed');
    metrics.tasksEnded(orders.slice(0, 2).map(({ task_id }) => task_id));
    metrics.tasksEnded(orders.slice(2).map(({ task_id }) => task_id));
    for (let i = 0; i < 2; i++) {
      const told = await scrape();
      expect(told.get('writ_tasks_total{state="succeeded"}')).to.equal(2);
      expect(told.get('writ_tasks_total{state="failed"}')).to.equal(1);
      expect(told.get('writ_tasks_total{state="expired"}')).to.equal(0);
    }
  });

  it('count tasks beyond the bound without a look at them', async () => {
    metrics.tasksEnded(new Array<string>(100_001).fill('00000000-0000-7000-8000-000000000000'));
    expect((await scrape()).get('writ_tasks_total{state="unknown"}')).to.equal(100_001);
  });

  it('ask the database once for all who ask within a second', async () => {
    await scrape();
    const before = rooms.database.statements();
    await Promise.all([fetch(`${url}/metrics`), fetch(`${url}/metrics`)]);
    nowMs += 999;
    await fetch(`${url}/metrics`);
    expect(rooms.database.statements()).to.equal(before);
    nowMs += 1;
    await Promise.all([fetch(`${url}/metrics`), fetch(`${url}/metrics`)]);
    expect(rooms.database.statements()).to.equal(before + 1);
  });

  it('say which part is away, and no numbers of before for a database that does not answer', async () => {
    await scrape();
    health = { database: { ok: false }, broker: { ok: false }, signer: { ok: true } };
    const told = await scrape();
    expect(told.get('writ_breaker_state{part="database"}')).to.equal(1);
    expect(told.get('writ_breaker_state{part="broker"}')).to.equal(1);
    expect(told.get('writ_breaker_state{part="signer"}')).to.equal(0);
    expect(told.get('writ_leading')).to.equal(1);
    expect([...told.keys()].filter((name) => name.startsWith('writ_queue'))).to.deep.equal([]);
  });

  it('lose no ended task while the database does not answer', async () => {
    const [task] = await rooms.submit([noopTask]);
    const [order] = await rooms.dispatch([task!.task_id]);
    await rooms.end([order!], 'succeeded');
    metrics.tasksEnded([task!.task_id]);
    await rooms.asOwner('alter table results rename to results_away');
    const told = await scrape();
    expect(told.get('writ_breaker_state{part="database"}')).to.equal(1);
    expect(told.get('writ_tasks_total{state="succeeded"}')).to.equal(0);
    await rooms.asOwner('alter table results_away rename to results');
    expect((await scrape()).get('writ_tasks_total{state="succeeded"}')).to.equal(1);
  });

  it('time signatures and count their failures by kind', async () => {
    let failure: Error | undefined;
    const signer: Signer = {
      ...headers,
      sign: () => {
        nowMs += 20;
        return failure === undefined ? Promise.resolve([new Uint8Array(64)]) : Promise.reject(failure);
      },
    };
    const timed = metrics.timedLogSigner(signer);
    expect(await timed.sign([])).to.have.length(1);
    failure = new AppError('unavailable', 'sealed', { reason: 'vault_sealed' });
    expect(await timed.sign([]).catch((error: unknown) => error)).to.equal(failure);
    failure = new Error('who knows');
    expect(await timed.sign([]).catch((error: unknown) => error)).to.equal(failure);
    expect(timed).to.include({ kid: 'k', algorithm: 'EdDSA' });
    const key = metrics.timedManifestKey({
      versions: () => Promise.resolve([]),
      signer: () => Promise.resolve({ ...signer, sign: () => Promise.resolve([]) }),
      rotate: () => Promise.reject(new Error('not asked for')),
      retireBefore: () => Promise.resolve(),
    });
    await (await key.signer(1)).sign([]);
    const told = await scrape();
    expect(told.get('writ_sign_seconds_count{key="log"}')).to.equal(3);
    expect(told.get('writ_sign_seconds_bucket{le="0.01",key="log"}')).to.equal(0);
    expect(told.get('writ_sign_seconds_count{key="manifest"}')).to.equal(1);
    expect(told.get('writ_sign_errors_total{key="log",reason="unavailable"}')).to.equal(1);
    expect(told.get('writ_sign_errors_total{key="log",reason="internal"}')).to.equal(1);
  });

  it('count what became of telemetry, and of nothing else that is published', async () => {
    const unused = (): Promise<never> => Promise.reject(new Error('not asked for'));
    const broker: Broker = {
      ...{ declare: unused, deleteQueue: unused, consume: unused, depth: unused, health: unused, close: unused },
      publish: (messages) => Promise.resolve(messages.map((_, i) => ({ outcome: i === 0 ? 'confirmed' : 'refused' }))),
    };
    const message = { routingKey: 'k', body: Buffer.alloc(0), messageId: 'm', type: 't', contentType: 'c' };
    const counted = metrics.countedBroker(broker, 'telemetry');
    await counted.publish([
      { ...message, exchange: 'telemetry' },
      { ...message, exchange: 'telemetry' },
    ]);
    await counted.publish([{ ...message, exchange: '' }]);
    const told = await scrape();
    expect(told.get('writ_telemetry_published_total{outcome="confirmed"}')).to.equal(1);
    expect(told.get('writ_telemetry_published_total{outcome="refused"}')).to.equal(1);
    expect(told.get('writ_telemetry_published_total{outcome="returned"}')).to.equal(0);
  });

  it('count refused receipts by their reason, and pass every line on', async () => {
    const lines: string[] = [];
    const log = metrics.countedLog((_level, event) => lines.push(event));
    log('warn', 'receipt.refused', { reason: 'bad_signature' });
    log('info', 'leader.began', { term: 1 });
    expect(lines).to.deep.equal(['receipt.refused', 'leader.began']);
    expect((await scrape()).get('writ_refusals_total{reason="bad_signature"}')).to.equal(1);
  });

  it('count calls by route and status', async () => {
    const call = { method: 'GET', route: '/api/v1/tasks/{task_id}', status: '200', seconds: 0.02 };
    metrics.onAnswered(call);
    metrics.onAnswered(call);
    const told = await scrape();
    const labels = 'method="GET",route="/api/v1/tasks/{task_id}"';
    expect(told.get(`writ_http_requests_total{${labels},status="200"}`)).to.equal(2);
    expect(told.get(`writ_http_request_seconds_bucket{le="0.025",${labels}}`)).to.equal(2);
  });
});

describe('METRICS_LISTEN', () => {
  it('is refused off loopback without a certificate, before anything is started', async () => {
    const environment = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', METRICS_LISTEN: '0.0.0.0:0' };
    const failure = await startServe({ environment }).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(AppError);
    expect((failure as AppError).reason).to.equal('plaintext_refused');
    expect((failure as AppError).message).to.include('METRICS_LISTEN (0.0.0.0:0)');
  });
});
