/** Reads the tasks to submit: from the short form, from flags, from a file or from standard input. */

import { readFile } from 'node:fs/promises';
import { AppError } from '../domain/error.ts';
import type { Submission } from '../domain/task.ts';
import { parseDurationS, parseTime } from './duration.ts';
import type { CliIo } from './screen.ts';

/** Flags that describe one task. */
export interface TaskFlags {
  tool?: string;
  action?: string;
  payload?: string;
  priority?: string;
  runAt?: string;
  expiresAt?: string;
  timeout?: string;
  maxAttempts?: string;
  source?: string;
  role?: string;
  affinity?: string;
  constraint?: string[];
  tag?: string[];
  label?: string[];
  traceparent?: string;
}

/** What the server is asked to accept; it decides whether each is a task. */
export interface TaskInput {
  tasks: Submission[];
  /** Whether the caller wrote one task, not a list of one. */
  isSingle: boolean;
  /** Where a file says so: all or none. */
  atomic?: boolean;
}

const flagNames: Readonly<Record<keyof TaskFlags, string>> = {
  tool: '--tool',
  action: '--action',
  payload: '--payload',
  priority: '--priority',
  runAt: '--run-at',
  expiresAt: '--expires-at',
  timeout: '--timeout',
  maxAttempts: '--max-attempts',
  source: '--source',
  role: '--role',
  affinity: '--affinity',
  constraint: '--constraint',
  tag: '--tag',
  label: '--label',
  traceparent: '--traceparent',
};
const inputMaxBytes = 256 * 1024 * 1024;

/** `words` are `tool.action key=value…`. Fails `invalid` with what to write instead. */
export async function readTaskInput(
  words: readonly string[],
  flags: TaskFlags,
  file: string | undefined,
  io: CliIo,
): Promise<TaskInput> {
  // By custom, "-" is standard input.
  if (words.length === 1 && words[0] === '-') return readTaskInput([], flags, '-', io);
  const isDescribed =
    words.length > 0 || flags.tool !== undefined || flags.action !== undefined || flags.payload !== undefined;
  if (isDescribed) {
    if (file !== undefined) throw new AppError('invalid', 'Give either a task or --file, not both.');
    return { tasks: [taskOfFlags(words, flags, io.clock.now())], isSingle: true };
  }
  const given = (Object.keys(flagNames) as (keyof TaskFlags)[]).find((name) => flags[name] !== undefined);
  if (given !== undefined) {
    throw new AppError(
      'invalid',
      `${flagNames[given]} is for a task given by flags: say which, or put it into the file.`,
    );
  }
  if (file === undefined && io.stdin.isTTY === true) {
    throw new AppError(
      'invalid',
      'There is no task: write "writ submit TOOL.ACTION key=value…", --file FILE, or pipe JSON in.',
    );
  }
  return parseTasks(await readText(file ?? '-', io));
}

/** The text of a file, or with `-` of standard input. Fails `invalid`. */
export async function readText(file: string, io: CliIo): Promise<string> {
  if (file !== '-') {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      throw new AppError('invalid', `The file ${file} cannot be read (${code}).`, {}, error);
    }
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of io.stdin) {
    const part = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    bytes += part.length;
    if (bytes > inputMaxBytes) throw new AppError('invalid', 'Standard input is too large: send it in parts.');
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** One task, a list, `{"tasks": […], "atomic"?}`, or one task a line. */
export function parseTasks(text: string): TaskInput {
  if (text.trim() === '')
    throw new AppError('invalid', 'The input is empty: give one task, a list, or one task a line.');
  const whole = parseJson(text);
  if (whole === undefined) return { tasks: parseLines(text), isSingle: false };
  const { value } = whole;
  if (Array.isArray(value)) return { tasks: value as Submission[], isSingle: false };
  if (typeof value !== 'object' || value === null) throw new AppError('invalid', 'A task is a JSON object.');
  if ('tasks' in value && Array.isArray(value.tasks)) {
    return { tasks: value.tasks as Submission[], isSingle: false, atomic: 'atomic' in value && value.atomic === true };
  }
  return { tasks: [value as Submission], isSingle: true };
}

function parseLines(text: string): Submission[] {
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    const parsed = parseJson(line);
    if (typeof parsed?.value === 'object' && parsed.value !== null) return [parsed.value as Submission];
    throw new AppError('invalid', `Line ${(i + 1).toString()} of the input is no JSON object.`);
  });
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

function taskOfFlags(words: readonly string[], flags: TaskFlags, nowMs: number): Submission {
  const { tool, action, payload } = whatToRun(words, flags);
  const task: Submission = { tool, action };
  if (payload !== undefined) task.payload = payload;
  if (flags.source !== undefined) task.source = flags.source;
  if (flags.role !== undefined) task.required_role = flags.role;
  if (flags.priority !== undefined) task.priority = integer(flags.priority, '--priority');
  if (flags.runAt !== undefined) task.run_at = parseTime(flags.runAt, nowMs);
  if (flags.expiresAt !== undefined) task.expires_at = parseTime(flags.expiresAt, nowMs);
  if (flags.timeout !== undefined) task.timeout_s = parseDurationS(flags.timeout);
  if (flags.maxAttempts !== undefined) task.retry = { max_attempts: integer(flags.maxAttempts, '--max-attempts') };
  if (flags.affinity !== undefined) task.affinity = flags.affinity;
  if (flags.constraint !== undefined) task.constraints = parsePairs(flags.constraint, '--constraint');
  if (flags.tag !== undefined) task.tags = flags.tag;
  if (flags.label !== undefined) task.labels = parsePairs(flags.label, '--label');
  if (flags.traceparent !== undefined) task.traceparent = flags.traceparent;
  return task;
}

function whatToRun(words: readonly string[], flags: TaskFlags): Pick<Submission, 'tool' | 'action' | 'payload'> {
  const [name, ...members] = words;
  let { tool, action } = flags;
  if (name !== undefined) {
    if (tool !== undefined || action !== undefined) {
      throw new AppError('invalid', 'Name the action once: as TOOL.ACTION, or with --tool and --action.');
    }
    [, tool, action] = /^([^.=]+)\.([^.=]+)$/.exec(name) ?? [];
    if (tool === undefined) throw new AppError('invalid', `"${name}" is no TOOL.ACTION such as tcp.connect.`);
  }
  if (tool === undefined || action === undefined) {
    throw new AppError('invalid', 'Which action? Write TOOL.ACTION, or --tool and --action; "writ tools" lists them.');
  }
  if (members.length > 0 && flags.payload !== undefined) {
    throw new AppError('invalid', 'Give the parameters either as key=value or as --payload JSON.');
  }
  if (flags.payload !== undefined) return { tool, action, payload: parsePayload(flags.payload) };
  return { tool, action, ...(members.length === 0 ? {} : { payload: parseMembers(members) }) };
}

function parsePayload(text: string): Record<string, unknown> {
  const value = parseJson(text)?.value;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new AppError('invalid', '--payload takes a JSON object such as \'{"host": "127.0.0.1", "port": 8080}\'.');
}

/** `key=value` as members of a payload: values that are JSON are taken as such, others as text. */
function parseMembers(members: readonly string[]): Record<string, unknown> {
  const payload: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, text] of splitPairs(members, 'a parameter')) payload[key] = memberValue(text);
  return payload;
}

/** Digits that a number would not keep (`12345678901234567890`) stay text. */
function memberValue(text: string): unknown {
  const parsed = parseJson(text);
  if (parsed === undefined) return text;
  const { value } = parsed;
  if (typeof value === 'number' && /^-?\d+$/.test(text) && !Number.isSafeInteger(value)) return text;
  return value;
}

function parsePairs(pairs: readonly string[], what: string): Record<string, string> {
  return Object.fromEntries(splitPairs(pairs, what));
}

function splitPairs(pairs: readonly string[], what: string): [string, string][] {
  const seen = new Set<string>();
  return pairs.map((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new AppError('invalid', `"${pair}" is not ${what} of the form key=value.`);
    const key = pair.slice(0, equals);
    if (seen.has(key)) throw new AppError('invalid', `"${key}" is given twice.`);
    seen.add(key);
    return [key, pair.slice(equals + 1)];
  });
}

function integer(text: string, flag: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new AppError('invalid', `${flag} takes a whole number, not "${text}".`);
  return Number(text);
}
