/** What a check finds, and how the checks of one part are run: bounded in time, and none stopped by another's failure. */

import { Stack } from '../stack.ts';

/** What one check has found, in words. */
export interface Finding {
  check: string;
  level: 'ok' | 'warn' | 'fail';
  message: string;
  /** What to do. */
  hint?: string;
}

/** What the checks of a part are run with. */
export interface Examination {
  /** Findings come in the order of these calls. */
  ok(check: string, message: string): void;
  warn(check: string, message: string, hint?: string): void;
  fail(check: string, message: string, hint?: string): void;
  /** To be undone when the part is done, or its time is over. */
  defer(undo: () => Promise<void> | void): void;
}

/** The checks of one part. What it throws is told as a failure of the part; what it has found before stands. */
export type Part = (examination: Examination) => Promise<void>;

const partLimitMs = 25_000;
const undoLimitMs = 2000;

/** Runs the checks of a part and answers what they have found. Never fails. */
export async function examine(name: string, part: Part, limitMs = partLimitMs): Promise<Finding[]> {
  const found: Finding[] = [];
  const stack = new Stack();
  const add =
    (level: Finding['level']) =>
    (check: string, message: string, hint?: string): void => {
      found.push({ check, level, message, ...(hint === undefined ? {} : { hint }) });
    };
  const examination: Examination = {
    ...{ ok: add('ok'), warn: add('warn'), fail: add('fail') },
    defer: (undo) => {
      stack.push(async () => {
        await undo();
      });
    },
  };
  const seconds = (limitMs / 1000).toString();
  try {
    await within(part(examination), limitMs, `Not all of it could be checked: it took longer than ${seconds} s.`);
  } catch (error) {
    add('fail')(name, wordsOf(error));
  }
  const answered = [...found];
  await within(stack.unwind(), undoLimitMs, '').catch(() => undefined);
  return answered;
}

/** The text of a failure. */
export function wordsOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : 'It failed, and nothing says why.';
}

async function within<T>(work: Promise<T>, limitMs: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(message));
    }, limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
