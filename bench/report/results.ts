/** The file of results: the latest figures of each benchmark, whenever it ran last. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine } from './machine.ts';
import type { Summary } from './summary.ts';
import { formatMachine, formatSummary } from './table.ts';

export interface Results {
  machine: Machine;
  versions: Record<string, string>;
  /** In the order of `--list`. */
  benchmarks: Summary[];
}

const file = 'latest.json';
const textFile = 'latest.txt';

/** Puts new figures in place of older ones of the same benchmarks; the others stay. Answers all. */
export async function writeResults(folder: string, fresh: Results, order: readonly string[]): Promise<Results> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, file);
  const known = await readFile(path, 'utf8').then(
    (text) => (JSON.parse(text) as Partial<Results>).benchmarks ?? [],
    () => [],
  );
  const byName = new Map([...known, ...fresh.benchmarks].map((summary) => [summary.name, summary]));
  const benchmarks = order.flatMap((name) => byName.get(name) ?? []);
  const results = { ...fresh, benchmarks };
  await writeFile(path, `${JSON.stringify(results, undefined, 1)}\n`);
  return results;
}

/** The same as text: a table of each benchmark, with its commit and time. */
export async function writeText(folder: string, results: Results): Promise<void> {
  const tables = results.benchmarks.map(
    (summary) => `${formatSummary(summary)}\n  of ${summary.commit}, ${summary.at}\n`,
  );
  await writeFile(join(folder, textFile), `${formatMachine(results.machine, results.versions)}\n${tables.join('')}`);
}
