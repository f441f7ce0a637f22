/** Tells which processes of this machine belong to a service. */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface Process {
  commandLine: string;
  /** The account that it runs as. */
  uid: number;
}

const POLL_MS = 50;

/** Those whose command line holds one of `words`; what has ended and waits for its parent has none. */
export async function processesWith(words: readonly string[]): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(pids.map(describe));
  return all.filter(({ commandLine }) => words.some((word) => commandLine.includes(word)));
}

/** Answers when there are none; fails, naming them, after `limitMs`. */
export async function noneLeft(words: readonly string[], limitMs: number): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const left = await processesWith(words);
    if (left.length === 0) return;
    if (waitedMs >= limitMs) {
      throw new Error(`left behind after ${limitMs} ms: ${left.map((one) => one.commandLine).join('\n')}`);
    }
    await delay(POLL_MS);
  }
}

async function describe(pid: string): Promise<Process> {
  const [line, status] = await Promise.all(
    ['cmdline', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
  );
  return { commandLine: line!.replaceAll('\0', ' '), uid: Number(/^Uid:\s+(\d+)/m.exec(status!)?.[1]) };
}
