/** Runs an example of docs/examples as a process of its own and follows what it says. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TelemetryEvent } from '../../src/domain/event.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { pythonWith } from '../support/python-environment.ts';

/** A line of standard error; one that is not a notice is `{ notice: 'text', text }`. */
export interface Notice {
  notice: string;
  [member: string]: unknown;
}

export interface ExampleConsumer {
  /** What it has told on standard output. */
  events: TelemetryEvent[];
  notices: Notice[];
  /** Resolves when so many events are told. */
  told(count: number): Promise<void>;
  /** Resolves to the first notice of the name that `matches`. */
  noticed(name: string, matches?: (notice: Notice) => boolean): Promise<Notice>;
  /** Its notices of a name. */
  of(name: string): Notice[];
  /** By SIGTERM; resolves to its exit code, or the signal that ended it. */
  stop(): Promise<number | string>;
  /** By SIGKILL. */
  kill(): Promise<void>;
  /** Nobody reads its standard output any more. */
  closeOutput(): void;
  /** Resolves when it has ended. */
  ended: Promise<number | string>;
}

/** A program to run: its name, and the words of its command. */
export interface Example {
  name: string;
  command(): Promise<string[]>;
}

const examplesPath = fileURLToPath(new URL('../../docs/examples', import.meta.url));
const tsx = fileURLToPath(new URL('../../node_modules/tsx/dist/esm/index.mjs', import.meta.url));

export const examples: readonly Example[] = [
  {
    name: 'consume_telemetry.py',
    command: async () => [await pythonWith(`${examplesPath}/requirements.txt`), `${examplesPath}/consume_telemetry.py`],
  },
  {
    name: 'consume-telemetry.ts',
    command: () => Promise.resolve([process.execPath, `--import=${tsx}`, `${examplesPath}/consume-telemetry.ts`]),
  },
];

/** Starts it with these variables of the environment and words behind the command. */
export async function startExample(
  example: Example,
  environment: Record<string, string>,
  words: readonly string[] = [],
): Promise<ExampleConsumer> {
  const [program = '', ...command] = await example.command();
  const { PATH = '' } = process.env;
  const child = spawn(program, [...command, ...words], {
    env: { PATH, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const events: TelemetryEvent[] = [];
  const notices: Notice[] = [];
  createInterface(child.stdout).on('line', (line) => events.push(JSON.parse(line) as TelemetryEvent));
  createInterface(child.stderr).on('line', (line) => notices.push(readNotice(line)));
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve(code ?? signal ?? 'unknown');
    });
  });
  const orSay = <T>(waiting: Promise<T>): Promise<T> =>
    waiting.catch((error: unknown) => {
      throw new Error(`${events.length} events told; ${JSON.stringify(notices.slice(-10))}`, { cause: error });
    });
  return {
    ...{ events, notices, ended },
    told: async (count) => {
      await orSay(eventually(() => (events.length >= count ? true : undefined)));
    },
    noticed: (name, matches = () => true) =>
      orSay(eventually(() => notices.find((notice) => notice.notice === name && matches(notice)))),
    of: (name) => notices.filter(({ notice }) => notice === name),
    closeOutput: () => {
      child.stdout.destroy();
    },
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const running = new Set<ChildProcess>();

/** Ends what a failed test left. */
export function killExamples(): void {
  for (const child of running) child.kill('SIGKILL');
}

function readNotice(line: string): Notice {
  try {
    return JSON.parse(line) as Notice;
  } catch {
    return { notice: 'text', text: line };
  }
}
