/** The command line of `npm run bench`. */

import { parseArgs } from 'node:util';

export interface Options {
  /** Benchmarks to run; empty for all. */
  names: string[];
  isList: boolean;
  /** Small counts and one round: shows that everything works, and says nothing about speed. */
  isQuick: boolean;
  /** Whether what a run of Writ has left is checked at its end. */
  checksInvariants: boolean;
  rounds: number;
  /** Of a run; undefined for what each benchmark takes by itself. */
  tasks: number | undefined;
  /** Of each system before it is measured; 0 for no warm-up. */
  warmUpTasks: number;
  records: number;
  backlog: number;
  nodes: number;
  minutes: number;
}

/** What is wrong with the command line, as a sentence. */
export class UsageError extends Error {}

const definitions = {
  list: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  'no-invariants': { type: 'boolean', default: false },
  rounds: { type: 'string' },
  tasks: { type: 'string' },
  records: { type: 'string' },
  backlog: { type: 'string' },
  nodes: { type: 'string' },
  minutes: { type: 'string' },
} as const;

/** How to call it. */
export const usage = `npm run bench -- [NAME...] [OPTION...]

  --list             name the benchmarks
  --quick            small counts, one round: shows that all of it works
  --rounds N         rounds, in which systems take turns (3)
  --tasks N          tasks of a run (30,000; memory: 200,000)
  --records N        audit records (100,000)
  --backlog N        tasks of the large backlog (1,000,000)
  --nodes N          simulated nodes (1,000)
  --minutes N        of steady load (10)
  --no-invariants    do not check what was left: for runs of more than 300,000 tasks, where that takes long`;

/** Fails with a UsageError. `known` are the names of the benchmarks. */
export function readOptions(args: readonly string[], known: readonly string[]): Options {
  const { values, positionals: names } = parse(args);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new UsageError(`there is no benchmark "${unknown.join('", "')}"; there are ${known.join(', ')}`);
  }
  const isQuick = values.quick;
  const count = (name: 'rounds' | 'tasks' | 'records' | 'backlog' | 'nodes', normal: number, quick: number): number =>
    readCount(name, values[name]) ?? (isQuick ? quick : normal);
  return {
    names,
    isList: values.list,
    isQuick,
    checksInvariants: !values['no-invariants'],
    rounds: count('rounds', 3, 1),
    tasks: readCount('tasks', values.tasks) ?? (isQuick ? 500 : undefined),
    warmUpTasks: isQuick ? 0 : 15_000,
    records: count('records', 100_000, 2000),
    backlog: count('backlog', 1_000_000, 5000),
    nodes: count('nodes', 1000, 10),
    minutes: readMinutes(values.minutes) ?? (isQuick ? 0.05 : 10),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: definitions, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function readCount(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const digits = text.replaceAll(/[,_]/g, '');
  if (!/^[1-9]\d{0,8}$/.test(digits)) throw new UsageError(`--${name} takes a whole number above 0, not "${text}"`);
  return Number(digits);
}

function readMinutes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const minutes = Number(text);
  if (!(minutes > 0 && minutes <= 1440)) throw new UsageError(`--minutes takes a number above 0, not "${text}"`);
  return minutes;
}
