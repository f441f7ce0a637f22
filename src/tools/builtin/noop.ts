/** `noop.run`: does nothing, for trying and measuring. `noop.append`: leaves a line in a temporary file, for tests alone. */

import { closeSync, constants, openSync, realpathSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, basename, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionFailure } from '../result.ts';
import type { Builtin, BuiltinOutcome } from './builtin.ts';
import { invalid, optionalInteger, optionalText, requiredText } from './read-parameters.ts';

const nothing: BuiltinOutcome = Object.freeze({ output: Object.freeze({}) });
const sleepMaxMs = 600_000;

/** Parameters, all optional: `output` (text that is given back), `sleep_ms`, `fail` (`true`, or `"retryable"`). */
export const noopRun: Builtin = (parameters, context) => {
  const sleepMs = optionalInteger(parameters, 'sleep_ms', { min: 0, max: sleepMaxMs });
  if (sleepMs !== undefined && sleepMs > 0) {
    return sleep(sleepMs, undefined, { signal: context.signal() }).then(() => finish(parameters));
  }
  return finish(parameters);
};

function finish(parameters: Readonly<Record<string, unknown>>): BuiltinOutcome {
  const text = optionalText(parameters, 'output');
  const output = text === undefined ? undefined : { output: text };
  if (parameters['fail'] === true || parameters['fail'] === 'retryable') {
    const retryable = parameters['fail'] === 'retryable';
    throw new ActionFailure('asked_to_fail', 'failed because the payload asks for it', { retryable, output });
  }
  return output === undefined ? nothing : { output };
}

/**
 * Parameters: `file` (absolute, under the system's temporary folder), `line` (without line feeds), and `sleep_ms`, for which it
 * goes on after the line is written. Every run shows.
 */
export const noopAppend: Builtin = (parameters, context) => {
  const sleepMs = optionalInteger(parameters, 'sleep_ms', { min: 0, max: sleepMaxMs });
  const file = requiredText(parameters, 'file');
  const line = requiredText(parameters, 'line');
  if (/[\r\n]/.test(line)) throw invalid('line', 'one line');
  const path = inTemporaryFolder(file);
  // O_NOFOLLOW: a link that somebody else put there would lead the line into another file.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  let descriptor;
  try {
    descriptor = openSync(path, flags, 0o600);
    writeSync(descriptor, `${line}\n`);
  } catch (cause) {
    throw new ActionFailure('file_not_writable', 'the line could not be written', { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  if (sleepMs === undefined || sleepMs === 0) return nothing;
  return sleep(sleepMs, undefined, { signal: context.signal() }).then(() => nothing);
};

function inTemporaryFolder(file: string): string {
  const wanted = 'an absolute path of a file in a folder under the system temporary folder, without ".."';
  if (!isAbsolute(file) || file.includes('\0') || file.split(sep).includes('..')) throw invalid('file', wanted);
  const root = realpathSync(tmpdir());
  let folder: string;
  try {
    folder = realpathSync(dirname(file));
  } catch {
    throw invalid('file', wanted);
  }
  if (folder !== root && !folder.startsWith(root + sep)) throw invalid('file', wanted);
  // Nothing of anybody's is called so: the line can go nowhere else.
  if (!basename(file).startsWith('writ-marker-')) throw invalid('file', `${wanted}, named writ-marker-…`);
  return join(folder, basename(file));
}
