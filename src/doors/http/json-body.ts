/** Reads JSON that an attacker wrote: bounded before it is parsed, and with one meaning afterwards. */

import { isUtf8 } from 'node:buffer';
import { AppError } from '../../domain/error.ts';
import { depthMax } from '../../proof/canonical-json.ts';

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const opening: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const closing: ReadonlySet<number> = new Set([0x5d, 0x7d]);

/** Member names that JavaScript itself gives a meaning. */
const forbiddenNames: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Escapes that may stand for NUL or half a surrogate pair; a literal backslash before them is a false alarm. */
const suspiciousEscape = /\\u(?:0000|[dD][89a-fA-F])/;

/**
 * The value of a body. Fails `invalid`: `invalid_utf8`, `too_deep` (over 32, found by one scan without parsing), `invalid_json`,
 * `duplicate_member`, `forbidden_member`, `forbidden_character` (NUL and lone surrogates, which no database text can hold).
 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw invalid('invalid_utf8', 'The body is not UTF-8.');
  const colons = scan(bytes);
  const text = bytes.toString('utf8');
  const value = parse(text);
  if (countMembers(value) !== colons) {
    throw invalid('duplicate_member', 'An object in the body has two members of one name.');
  }
  if (suspiciousEscape.test(text)) checkStrings(value);
  return value;
}

/** Colons outside of strings, one for each member; refuses nesting before anything recursive sees the text. */
function scan(bytes: Buffer): number {
  let depth = 0;
  let colons = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === quote) i = endOfString(bytes, i);
    else if (byte === colon) colons++;
    else if (opening.has(byte)) depth++;
    else if (closing.has(byte)) depth--;
    if (depth > depthMax) throw invalid('too_deep', `The body is nested over ${depthMax.toString()} deep.`);
  }
  return colons;
}

function endOfString(bytes: Buffer, start: number): number {
  let i = start + 1;
  while (i < bytes.length && bytes[i] !== quote) i += bytes[i] === backslash ? 2 : 1;
  return i;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('invalid_json', 'The body is not JSON.');
  }
}

/** Members of all objects; of two with one name, JSON.parse keeps one. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) count += countMembers(item);
    return count;
  }
  for (const name of Object.keys(value)) {
    if (forbiddenNames.has(name)) throw invalid('forbidden_member', `A member may not be named ${name}.`);
    count += 1 + countMembers((value as Record<string, unknown>)[name]);
  }
  return count;
}

function checkStrings(value: unknown): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed() || value.includes('\0')) {
      throw invalid('forbidden_character', 'A text in the body holds NUL or half of a surrogate pair.');
    }
  } else if (Array.isArray(value)) {
    value.forEach(checkStrings);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      checkStrings(name);
      checkStrings(member);
    }
  }
}

function invalid(reason: string, message: string): AppError {
  return new AppError('invalid', message, { reason });
}
