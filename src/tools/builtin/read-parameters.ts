/** Reads single parameters of a payload; one that is not what the tool needs fails `payload_invalid`. */

import { ActionFailure } from '../result.ts';

type Parameters = Readonly<Record<string, unknown>>;

/** A parameter, or undefined where the payload has none. */
function read(parameters: Parameters, name: string): unknown {
  return Object.hasOwn(parameters, name) ? parameters[name] : undefined;
}

export function optionalText(parameters: Parameters, name: string): string | undefined {
  const value = read(parameters, name);
  if (value === undefined || typeof value === 'string') return value;
  throw invalid(name, 'a text');
}

export function requiredText(parameters: Parameters, name: string): string {
  const value = optionalText(parameters, name);
  if (value === undefined || value === '') throw invalid(name, 'a text');
  return value;
}

export function optionalInteger(
  parameters: Parameters,
  name: string,
  range: { min: number; max: number },
): number | undefined {
  const value = read(parameters, name);
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= range.max) return value;
  throw invalid(name, `an integer from ${range.min.toString()} to ${range.max.toString()}`);
}

export function requiredPort(parameters: Parameters, name: string): number {
  const value = optionalInteger(parameters, name, { min: 1, max: 65_535 });
  if (value === undefined) throw invalid(name, 'a port');
  return value;
}

export function optionalBoolean(parameters: Parameters, name: string): boolean | undefined {
  const value = read(parameters, name);
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(name, 'true or false');
}

/** One of the given words; the first where the payload has none. */
export function choice<Word extends string>(
  parameters: Parameters,
  name: string,
  words: readonly [Word, ...Word[]],
): Word {
  const value = read(parameters, name);
  if (value === undefined) return words[0];
  const found = words.find((word) => word === value);
  if (found === undefined) throw invalid(name, `one of ${words.join(', ')}`);
  return found;
}

export function optionalList(parameters: Parameters, name: string): readonly unknown[] | undefined {
  const value = read(parameters, name);
  if (value === undefined || Array.isArray(value)) return value;
  throw invalid(name, 'a list');
}

export function invalid(name: string, wanted: string): ActionFailure {
  return new ActionFailure('payload_invalid', `the parameter ${name} must be ${wanted}`);
}
