/** `npm run bench`: throughput and CPU of no-op tasks through the HTTP API, and the latency of one task at rest. */

import { fork } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { WritClient } from '../src/client/client.ts';
import { checkInvariants } from '../test/support/invariants.ts';
import { startEmbedded, startReal, type BenchSystem } from './system.ts';

interface Figures {
  parts: BenchSystem['parts'];
  tasks: number;
  batch: number;
  feed: string;
  tasks_per_s: number;
  /** Null where it cannot be told. */
  statements_per_task: number | null;
  /** By process. */
  cpu_ms_per_1000: Record<string, number>;
  idle_ms: { p50: number; p99: number; samples: number };
  invariants: string;
}

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: 'both' },
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
const starts = { embedded: startEmbedded, real: startReal };
const wanted = (['embedded', 'real'] as const).filter((parts) => values.parts === 'both' || values.parts === parts);
if (wanted.length === 0) throw new Error('--parts takes embedded, real or both');

const all: Figures[] = [];
for (const parts of wanted) {
  const system = await starts[parts](values.feed);
  try {
    await throughput(system, 1000, batch);
    const idle = await latency(system, latencies);
    const figures = await measure(system, idle);
    all.push(figures);
    print(figures);
    if (figures.invariants !== 'hold') process.exitCode = 1;
  } finally {
    await system.stop();
  }
}
const results = join(dirname(fileURLToPath(import.meta.url)), 'results');
await mkdir(results, { recursive: true });
await writeFile(join(results, 'latest.json'), `${JSON.stringify(all, undefined, 2)}\n`);

async function measure(system: BenchSystem, idle: number[]): Promise<Figures> {
  const statements = system.statements?.();
  const before = await system.cpuMs();
  const run = await throughput(system, tasks, batch);
  const used = await system.cpuMs();
  const per1000 = (ms: number): number => round((ms * 1000) / tasks);
  const cpu = Object.entries(used).map(([name, ms]) => [name, per1000(ms - (before[name] ?? 0))] as const);
  return {
    parts: system.parts,
    tasks,
    batch,
    feed: values.feed,
    tasks_per_s: Math.round((tasks * 1000) / run.elapsedMs),
    statements_per_task:
      statements === undefined ? null : round(((system.statements?.() ?? 0) - statements) / tasks, 3),
    cpu_ms_per_1000: { ...Object.fromEntries(cpu), generator: per1000(run.generatorCpuMs) },
    idle_ms: { p50: percentile(idle, 0.5), p99: percentile(idle, 0.99), samples: idle.length },
    invariants: await invariants(system),
  };
}

/** From the first submission to the last result committed; the generator is a process of its own. */
async function throughput(
  system: BenchSystem,
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

async function isBusy(system: BenchSystem): Promise<boolean> {
  const { rowCount } = await system.database.query('select from queue limit 1');
  return rowCount > 0;
}

/** Milliseconds from before the submission of one task until its result is answered, one after the other. */
async function latency(system: BenchSystem, count: number): Promise<number[]> {
  const client = new WritClient({ url: system.url, token: system.token });
  const samples: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    const task = await client.submit({ tool: 'noop', action: 'run', payload: {} }, { waitS: 10 });
    if (task.state !== 'succeeded') throw new Error(`a no-op task ${task.state}`);
    samples.push(performance.now() - startedMs);
  }
  return samples.sort((a, b) => a - b);
}

async function invariants(system: BenchSystem): Promise<string> {
  const { problems } = await settled(system).then(() => checkInvariants(system.database));
  return problems.length === 0 ? 'hold' : problems.join('; ');
}

async function settled(system: BenchSystem): Promise<void> {
  for (;;) {
    const { rows } = await system.database.query<{ rest: boolean }>(
      'select not exists (select from audit_inbox) and size = (select max(size) from checkpoints) as rest from audit_head',
    );
    if (rows[0]?.rest === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function percentile(sorted: readonly number[], share: number): number {
  return round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}

function print(figures: Figures): void {
  const { cpu_ms_per_1000: cpu, idle_ms: idle, statements_per_task: statements } = figures;
  const parts = {
    embedded: 'embedded parts, orchestrator and node in one process',
    real: 'real parts, each a process: RabbitMQ over mutual TLS, OpenBao Transit',
  };
  const total = Object.entries(cpu).reduce((sum, [name, ms]) => (name === 'generator' ? sum : sum + ms), 0);
  const each = Object.entries(cpu).map(([name, ms]) => `${name} ${ms.toString()}`);
  console.log(
    [
      `\n${parts[figures.parts]}`,
      `no-op tasks                  ${figures.tasks.toString()} in batches of ${figures.batch.toString()}, feed ${figures.feed}`,
      `tasks per second             ${figures.tasks_per_s.toString()}`,
      ...(statements === null ? [] : [`statements per task          ${statements.toString()}`]),
      `CPU ms per 1,000 tasks       ${total.toFixed(1)}: ${each.join(', ')}`,
      `one task at rest             p50 ${idle.p50.toString()} ms, p99 ${idle.p99.toString()} ms over ${idle.samples.toString()}`,
      `invariants                   ${figures.invariants}`,
    ].join('\n'),
  );
}
