/** Builds a program's argument array from a payload; no value can become an option that the entry did not write. */

import type { FieldError } from '../domain/error.ts';
import type { Argument, ProcessRun } from '../domain/tool.ts';
import type { JsonSchema } from './parameters.ts';

export interface BuiltArguments {
  args: string[];
  /** Values that were refused; with any, nothing is run. */
  problems: FieldError[];
}

/** One argument holds so many bytes at most (Linux allows 128 KiB). */
const argumentMaxBytes = 64 * 1024;
const argumentsMax = 4096;

/**
 * The argument array for a payload. An attacker controls the values: one that begins with `-` is refused where the
 * program would read an option, which is everywhere but behind a literal `--` and in `--flag=value`; a NUL is refused
 * everywhere, since it would end the argument early.
 */
export function buildArguments(run: ProcessRun, payload: Readonly<Record<string, unknown>>): BuiltArguments {
  const built: BuiltArguments = { args: [], problems: [] };
  let optionsEnded = false;
  for (const argument of run.args) {
    if (typeof argument === 'string') {
      built.args.push(argument);
      if (argument === '--') optionsEnded = true;
      continue;
    }
    const { name, values } = valuesOf(argument, payload);
    for (const [index, value] of values.entries()) {
      const path = 'each' in argument ? `${name}.${index.toString()}` : name;
      addValue(built, { path, value, flag: argument.flag, optionsEnded });
    }
  }
  if (built.args.length > argumentsMax) {
    built.problems.push({ path: '', message: `makes more than ${argumentsMax.toString()} arguments` });
  }
  return built;
}

/** What is wrong between an entry's argument list and its parameter schema; paths are in the entry's `run`. */
export function checkArguments(run: ProcessRun, schema: JsonSchema): FieldError[] {
  const properties = asObject(schema['properties']);
  const problems: FieldError[] = [];
  const check = (path: string, name: string, wantsList: boolean): void => {
    if (!Object.hasOwn(properties, name)) {
      problems.push({ path, message: `the parameters have no property "${name}"` });
      return;
    }
    const isList = asObject(properties[name])['type'] === 'array';
    if (wantsList && !isList) problems.push({ path, message: `"${name}" must be of type array; else write param` });
    if (!wantsList && isList) problems.push({ path, message: `"${name}" is an array; write each` });
  };
  for (const [index, argument] of run.args.entries()) {
    const path = `args.${index.toString()}`;
    if (typeof argument === 'string') {
      if (argument.includes('\0')) problems.push({ path, message: 'holds a NUL' });
    } else if ('each' in argument) check(`${path}.each`, argument.each, true);
    else check(`${path}.param`, argument.param, false);
  }
  if (run.stdin !== undefined) check('stdin.param', run.stdin.param, false);
  return problems;
}

function valuesOf(
  argument: Exclude<Argument, string>,
  payload: Readonly<Record<string, unknown>>,
): { name: string; values: readonly unknown[] } {
  const name = 'each' in argument ? argument.each : argument.param;
  const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
  if (value === undefined) return { name, values: [] };
  if ('each' in argument) return { name, values: Array.isArray(value) ? (value as unknown[]) : [value] };
  return { name, values: [value] };
}

function addValue(
  built: BuiltArguments,
  one: { path: string; value: unknown; flag: string | undefined; optionsEnded: boolean },
): void {
  const { path, value, flag } = one;
  if (typeof value === 'boolean' && flag !== undefined) {
    if (value) built.args.push(flag);
    return;
  }
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    built.problems.push({ path, message: 'only a text, a number or a boolean can be an argument' });
    return;
  }
  const text = String(value);
  if (text.includes('\0')) {
    built.problems.push({ path, message: 'holds a NUL' });
  } else if (Buffer.byteLength(text) > argumentMaxBytes) {
    built.problems.push({ path, message: `has over ${argumentMaxBytes.toString()} bytes` });
  } else if (flag !== undefined) {
    built.args.push(`${flag}=${text}`);
  } else if (text.startsWith('-') && !one.optionsEnded) {
    built.problems.push({ path, message: 'begins with "-", which the program would read as an option' });
  } else {
    built.args.push(text);
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
