/** `npm run bench`: measures Writ beside its peers. See `usage` in options.ts. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { benchmarks } from './benchmarks/all.ts';
import { readOptions, usage, UsageError, type Options } from './options.ts';
import { commit, machine, peerVersions } from './report/machine.ts';
import { drawPictures } from './report/pictures.ts';
import { writeResults, writeText } from './report/results.ts';
import { summarizeRows, type Summary } from './report/summary.ts';
import { formatMachine, formatSummary } from './report/table.ts';
import { Session } from './session.ts';
import { Cleanup } from './systems/cleanup.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const names = benchmarks.map(({ name }) => name);

try {
  const options = readOptions(process.argv.slice(2), names);
  if (options.isList) list();
  else await measure(options);
} catch (error) {
  if (error instanceof UsageError) console.error(`bench: ${error.message}\n\n${usage}`);
  else console.error('bench:', error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

function list(): void {
  const width = Math.max(...names.map((name) => name.length));
  console.log(benchmarks.map(({ name, line }) => `${name.padEnd(width)}  ${line}`).join('\n'));
}

async function measure(options: Options): Promise<void> {
  await run(process.execPath, ['bench/install.mjs']);
  await run('npm', ['run', '--silent', 'build']);
  const cleanup = new Cleanup();
  cleanup.onSignals();
  const session = new Session(options, cleanup);
  try {
    const wanted = benchmarks.filter(({ name }) => options.names.length === 0 || options.names.includes(name));
    for (const benchmark of wanted) {
      await session.run(benchmark).catch(async (error: unknown) => {
        if (cleanup.isClosing) throw error;
        console.error(error);
        session.fail(`failed: ${String(error)}`);
        await session.discard();
      });
      await write(session);
    }
    await session.release();
    await report(session);
  } finally {
    await cleanup.close();
  }
}

/** Prints everything. */
async function report(session: Session): Promise<void> {
  const { folder, results, summaries } = await write(session);
  session.failures.push(...(await drawPictures(results.benchmarks, folder)));
  await writeText(folder, results);
  for (const summary of summaries) console.log(formatSummary(summary));
  console.log(`\n${formatMachine(results.machine, results.versions)}; commit ${commit()}\nwritten to ${folder}`);
  if (session.failures.length === 0) return;
  console.error(`\nbench: not all of it worked:\n  ${session.failures.join('\n  ')}`);
  process.exitCode = 1;
}

/** After each benchmark: what has been measured outlives what comes after it. */
async function write({ options, outcomes, verdicts, versions }: Session) {
  const at = new Date().toISOString();
  const here = commit();
  const summaries = [...outcomes.values()].map((outcome): Summary => {
    const { name, title, notes } = outcome;
    const invariants = verdicts.get(name) ?? '';
    return { name, title, at, commit: here, rounds: options.rounds, rows: summarizeRows(outcome), notes, invariants };
  });
  // What a quick run has measured says nothing about speed, and takes no other figures' place.
  const folder = `${root}${options.isQuick ? '.cache/bench' : 'bench/results'}`;
  const fresh = { machine: machine(), versions: { ...versions, ...(await peerVersions()) }, benchmarks: summaries };
  return { folder, summaries, results: await writeResults(folder, fresh, names) };
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed: see above`);
}
