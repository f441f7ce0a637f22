import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { tailTelemetry } from '../../src/app/telemetry-tap.ts';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { isEndState, type TaskState } from '../../src/domain/task-state.ts';
import { startEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { checkInvariants } from '../support/invariants.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { call, DevProcess, killProcess, postgresOf, runProgram, runWrit, type DevSummary } from './dev-process.ts';
import { mixedTask, seededRandom, type Submission } from './workload.ts';

const kills = 20;
const tasks = 2000;
const batchTasks = 50;
const settleMs = 90_000;
const slowEvery = 20;
const slowMs = 30;
const unsettledStates = ['waiting', 'queued', 'dispatched', 'running'];

const seed = Number(process.env['WRIT_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const secondVerifier = fileURLToPath(new URL('../verify_bundle.py', import.meta.url));

interface Batch {
  key: string;
  items: Submission[];
  ids: string[] | undefined;
}

describe(`writ dev, killed ${kills.toString()} times while ${tasks.toString()} tasks run (seed ${seed.toString()})`, function () {
  this.timeout(300_000);
  const random = seededRandom(seed);
  const events: TelemetryEvent[] = [];
  const tailing = new AbortController();
  let folder: string;
  let dataDir: string;
  let marker: string;
  let target: Server;
  let batches: Batch[];
  let tail: Promise<void>;
  let database: Database;
  const stops: (() => Promise<unknown>)[] = [];

  before(async () => {
    folder = await makeScratchFolder('writ-kill-');
    dataDir = join(folder, 'data');
    marker = join(await mkdtemp(join(tmpdir(), 'writ-kill-')), 'writ-marker-lines');
    target = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
    const { port } = target.address() as AddressInfo;
    batches = Array.from({ length: tasks / batchTasks }, (_, i) => ({
      key: `batch-${i.toString()}`,
      items: Array.from({ length: batchTasks }, (__, j) =>
        mixedTask(random, `${i.toString()}-${j.toString()}`, marker, port),
      ),
      ids: undefined,
    }));
    tail = collectEvents();
    await killAgainAndAgain();
    await liveToTheEnd();
    const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres') });
    stops.push(() => postgres.stop());
    database = createPool({ url: postgres.url, max: 2 });
    stops.push(() => database.close());
  });

  after(async () => {
    tailing.abort();
    target.close();
    for (const stop of stops.toReversed()) await stop();
    await tail;
    await rm(folder, { recursive: true, force: true });
    await rm(join(marker, '..'), { recursive: true, force: true });
  });

  function start(): DevProcess {
    const dev = DevProcess.start({ dataDir, home: folder, environment: { TMPDIR: tmpdir(), LOG_LEVEL: 'warn' } });
    stops.push(() => dev.kill());
    return dev;
  }

  /** Some lives end before they are ready; some take their database with them. */
  async function killAgainAndAgain(): Promise<void> {
    let due = 0;
    for (let life = 0; life < kills; life++) {
      const dev = start();
      let submitting: Promise<void> | undefined;
      if (random() < 0.75) {
        const summary = await dev.ready;
        due += Math.ceil((1.4 * batches.length) / kills);
        submitting = submit(summary, batches.slice(0, due));
      }
      await delay(random() * 1300);
      if (random() < 0.25) for (const pid of postgresOf(dataDir)) killProcess(pid);
      await dev.kill();
      await submitting;
    }
  }

  /** Submits what has no answer yet, until there is none because the process is gone. */
  async function submit(summary: DevSummary, due: readonly Batch[]): Promise<void> {
    for (const batch of due) {
      if (batch.ids !== undefined) continue;
      try {
        const { status, body } = await call(summary, 'tasks/batch', { body: { tasks: batch.items }, key: batch.key });
        if (status !== 202) continue;
        const { results } = body as { results: { task?: { task_id: string } }[] };
        batch.ids = results.map(({ task }) => task?.task_id ?? '');
      } catch {
        return;
      }
    }
  }

  async function liveToTheEnd(): Promise<void> {
    const dev = start();
    const summary = await dev.ready;
    const untilMs = Date.now() + settleMs;
    for (let isOver = false; !isOver; isOver = await isSettled(summary)) {
      if (Date.now() > untilMs) throw new Error(`not at rest after ${settleMs.toString()} ms`);
      await submit(summary, batches);
      await delay(100);
    }
    const token = (await readFile(summary.token_file, 'utf8')).trim();
    const exported = await runWrit(['audit', 'export', '--out', join(folder, 'bundle')], {
      ...{ WRIT_URL: summary.url, WRIT_TOKEN: token, HOME: folder },
    });
    expect(exported.code, exported.stderr).to.equal(0);
    await untilQuiet();
    tailing.abort();
    await tail;
    const ended = await dev.stop();
    expect(ended.code, ended.stderr).to.equal(0);
  }

  async function isSettled(summary: DevSummary): Promise<boolean> {
    if (batches.some(({ ids }) => ids === undefined)) return false;
    for (const state of unsettledStates) {
      const { body } = await call(summary, `tasks?limit=1&state=${state}`);
      if ((body as { tasks: unknown[] }).tasks.length > 0) return false;
    }
    return true;
  }

  /** Consumes over all lives. */
  async function collectEvents(): Promise<void> {
    // Slow enough that a kill finds events on the way.
    const onEvent = async (event: TelemetryEvent): Promise<void> => {
      if (events.push(event) % slowEvery === 0) await delay(slowMs);
    };
    while (!tailing.signal.aborted) {
      await tailTelemetry({ dataDir, feed: 'events', onEvent, signal: tailing.signal }).catch(() => undefined);
      await delay(20);
    }
  }

  /** The export is the last act of the run: what comes after its event is quiet. */
  async function untilQuiet(): Promise<void> {
    await eventually(() => (events.some(({ event_type }) => event_type === 'audit.accessed') ? true : undefined));
    let count = -1;
    while (count !== events.length) {
      count = events.length;
      await delay(1000);
    }
  }

  it('ends every accepted task in exactly one terminal state, and makes none twice', async () => {
    const ids = batches.flatMap((batch) => batch.ids ?? []);
    expect(new Set(ids)).to.have.length(tasks);
    const { rows } = await database.query<{ task_id: string; state: TaskState }>(
      `select t.task_id, coalesce(q.state, r.state) as state from tasks t left join queue q on q.task_id = t.task_id
         left join results r on r.task_id = t.task_id and r.state is not null`,
    );
    expect(rows).to.have.length(tasks);
    expect(new Set(rows.map(({ task_id }) => task_id))).to.deep.equal(new Set(ids));
    expect(rows.filter(({ state }) => !isEndState(state))).to.deep.equal([]);
  });

  it('runs nothing destructive twice, and everything that succeeded once', async () => {
    const lines = (await readFile(marker, 'utf8')).trimEnd().split('\n');
    expect(new Set(lines)).to.have.length(lines.length);
    const { rows } = await database.query<{ line: string; state: string }>(
      `select convert_from(t.payload, 'UTF8')::jsonb ->> 'line' as line, r.state from tasks t
         join results r on r.task_id = t.task_id and r.state is not null where t.action = 'append'`,
    );
    const succeeded = rows.filter(({ state }) => state === 'succeeded').map(({ line }) => line);
    expect(succeeded.filter((line) => !lines.includes(line))).to.deep.equal([]);
    expect(succeeded.length, 'most are not hit by a kill').to.be.above(rows.length / 2);
  });

  it('was killed while work was in hand, and takes nothing of what follows for an attack', async () => {
    const { rows: hit } = await database.query(`select from results where status = 'interrupted'`);
    expect(hit).not.to.have.length(0);
    const { rows: refused } = await database.query(`select seq, type from audit_log where type like '%.refuse'`);
    expect(refused).to.deep.equal([]);
  });

  it('leaves the database, its log and the telemetry that a consumer had in agreement', async () => {
    const { problems } = await checkInvariants(database, events);
    expect(problems).to.deep.equal([]);
  });

  it('has a log that both verifiers verify', async () => {
    const policy = join(dataDir, 'audit.policy');
    const verified = await runWrit(['audit', 'verify', join(folder, 'bundle'), '--policy', policy]);
    expect(verified.code, verified.stdout + verified.stderr).to.equal(0);
    if (!existsSync(secondVerifier)) return;
    const second = await runProgram('python3', [secondVerifier, join(folder, 'bundle'), policy]);
    expect(second.code, second.stdout + second.stderr).to.equal(0);
  });
});
