/** `npm run bench`: throughput, statements and CPU of no-op tasks through the HTTP API, and the latency of one task at rest. */

import { fork } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startDev, type Dev } from '../src/app/dev.ts';
import { WritClient } from '../src/client/client.ts';
import { checkInvariants } from '../test/support/invariants.ts';

const ticksPerS = 100;

interface Figures {
  tasks: number;
  batch: number;
  feed: string;
  tasks_per_s: number;
  statements_per_task: number;
  cpu_ms_per_1000: { orchestrator_and_node: number; postgres: number; generator: number };
  idle_ms: { p50: number; p99: number; samples: number };
  invariants: string;
}

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '20000' },
    batch: { type: 'string', default: '500' },
    feed: { type: 'string', default: 'batches' },
    latencies: { type: 'string', default: '300' },
    quick: { type: 'boolean', default: false },
  },
});
const tasks = values.quick ? 2000 : Number(values.tasks);
const latencies = values.quick ? 30 : Number(values.latencies);
const batch = Number(values.batch);

const folder = await mkdtemp(join(tmpdir(), 'writ-bench-'));
const dev = await startDev({
  dataDir: join(folder, 'data'),
  flags: { http_listen: '127.0.0.1:0', mark_dir: join(folder, 'marks'), telemetry_feeds: values.feed },
  log: (level, event, fields) => {
    if (level === 'error') console.error(event, fields);
  },
});
try {
  await throughput(dev, 1000, batch);
  const idle = await latency(dev, latencies);
  const figures = await measure(dev, idle);
  await mkdir(resultsDir(), { recursive: true });
  await writeFile(join(resultsDir(), 'latest.json'), `${JSON.stringify(figures, undefined, 2)}\n`);
  print(figures);
  if (figures.invariants !== 'hold') process.exitCode = 1;
} finally {
  await dev.stop();
  await rm(folder, { recursive: true, force: true });
}

async function measure(system: Dev, idle: number[]): Promise<Figures> {
  const statements = system.database.statements();
  const cpu = process.cpuUsage();
  const postgres = await postgresCpuMs(system);
  const run = await throughput(system, tasks, batch);
  const used = process.cpuUsage(cpu);
  const postgresMs = (await postgresCpuMs(system)) - postgres;
  const per1000 = (ms: number): number => round((ms * 1000) / tasks);
  return {
    tasks,
    batch,
    feed: values.feed,
    tasks_per_s: Math.round((tasks * 1000) / run.elapsedMs),
    statements_per_task: round((system.database.statements() - statements) / tasks, 3),
    cpu_ms_per_1000: {
      orchestrator_and_node: per1000((used.user + used.system) / 1000),
      postgres: per1000(postgresMs),
      generator: per1000(run.generatorCpuMs),
    },
    idle_ms: { p50: percentile(idle, 0.5), p99: percentile(idle, 0.99), samples: idle.length },
    invariants: await invariants(system),
  };
}

/** From the first submission to the last result committed; the generator is a process of its own. */
async function throughput(
  system: Dev,
  count: number,
  size: number,
): Promise<{ elapsedMs: number; generatorCpuMs: number }> {
  const generator = fork(fileURLToPath(new URL('generator.ts', import.meta.url)), [
    system.url,
    system.tokenPath,
    count.toString(),
    size.toString(),
  ]);
  let startedMs = 0;
  const generatorCpuMs = await new Promise<number>((resolve, reject) => {
    generator.on('message', (message) => {
      // Its first message says that it begins: its own start is not counted.
      if (message === 'began') startedMs = performance.now();
      else resolve(message as number);
    });
    generator.once('exit', (code) => {
      if (code !== 0) reject(new Error('the generator failed'));
    });
  });
  while (await isBusy(system)) await new Promise((resolve) => setTimeout(resolve, 20));
  return { elapsedMs: performance.now() - startedMs, generatorCpuMs };
}

async function isBusy(system: Dev): Promise<boolean> {
  const { rowCount } = await system.database.query('select from queue limit 1');
  return rowCount > 0;
}

/** Milliseconds from before the submission of one task until its result is answered, one after the other. */
async function latency(system: Dev, count: number): Promise<number[]> {
  const client = new WritClient({ url: system.url, token: system.adminToken });
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    const task = await client.submit({ tool: 'noop', action: 'run', payload: {} }, { waitS: 10 });
    if (task.state !== 'succeeded') throw new Error(`a no-op task ${task.state}`);
    samples.push(performance.now() - startedMs);
  }
  return samples.sort((a, b) => a - b);
}

async function invariants(system: Dev): Promise<string> {
  const { problems } = await settled(system).then(() => checkInvariants(system.database));
  return problems.length === 0 ? 'hold' : problems.join('; ');
}

async function settled(system: Dev): Promise<void> {
  for (;;) {
    const { rows } = await system.database.query<{ rest: boolean }>(
      'select not exists (select from audit_inbox) and size = (select max(size) from checkpoints) as rest from audit_head',
    );
    if (rows[0]?.rest === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** User and system time of PostgreSQL's processes, those that have ended included. */
async function postgresCpuMs(system: Dev): Promise<number> {
  let ticks = 0;
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const pid = Number(entry);
    if (pid === system.databasePid) ticks += sum(fields.slice(11, 15));
    else if (Number(fields[1]) === system.databasePid) ticks += sum(fields.slice(11, 13));
  }
  return (ticks * 1000) / ticksPerS;
}

function sum(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + Number(text), 0);
}

function percentile(sorted: readonly number[], share: number): number {
  return round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}

function resultsDir(): string {
  return join(dirname(fileURLToPath(import.meta.url)), 'results');
}

function print(figures: Figures): void {
  const { cpu_ms_per_1000: cpu, idle_ms: idle } = figures;
  console.log(
    [
      `no-op tasks                  ${figures.tasks.toString()} in batches of ${figures.batch.toString()}, feed ${figures.feed}`,
      `tasks per second             ${figures.tasks_per_s.toString()}`,
      `statements per task          ${figures.statements_per_task.toString()}`,
      `CPU ms per 1,000 tasks       orchestrator and node ${cpu.orchestrator_and_node.toString()}, PostgreSQL ${cpu.postgres.toString()}, generator ${cpu.generator.toString()}`,
      `one task at rest             p50 ${idle.p50.toString()} ms, p99 ${idle.p99.toString()} ms over ${idle.samples.toString()}`,
      `invariants                   ${figures.invariants}`,
    ].join('\n'),
  );
}
