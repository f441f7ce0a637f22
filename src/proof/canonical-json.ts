/** RFC 8785 canonical JSON: the strict form inside signatures and hashes, and the form of payloads, which may hold floats. */

import { ProofError } from './proof-error.ts';

/** What canonical JSON can say: integers within ±(2^53 − 1), well-formed strings, no undefined. */
export type CanonicalValue =
  null | boolean | number | string | readonly CanonicalValue[] | { readonly [key: string]: CanonicalValue | undefined };

/** Objects and arrays nest so deep at most, the outermost being the first (formats.md rule 1). */
export const depthMax = 32;

/** Member names that JavaScript itself gives a meaning; never data. */
const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Canonical JSON of a value, strict: floats, integers beyond ±(2^53 − 1), lone surrogates, `undefined` inside arrays,
 * functions, symbols, bigints, forbidden keys and nesting over 32 are refused with a ProofError. Object members that
 * are `undefined` are left out: absent, as rule 3 of the formats wants them. Values are plain data: no `toJSON`, no getters.
 */
export function canonicalize(value: CanonicalValue): string {
  return new Writer(false).text(value, 1);
}

/** As `canonicalize`, but any finite number is written, as ECMAScript does (RFC 8785 §3.2.2.3): for payloads. */
export function canonicalizeWithFloats(value: unknown): string {
  return new Writer(true).text(value, 1);
}

/**
 * Reads strict canonical JSON: parsed, written again, compared. Duplicate members, white space, other escapes, `-0`, `1.0`
 * and a byte order mark all differ and are refused with `not_canonical`.
 */
export function parseCanonical(text: string): CanonicalValue {
  let value: CanonicalValue;
  try {
    value = JSON.parse(text) as CanonicalValue;
  } catch {
    throw new ProofError('not_json', 'not JSON');
  }
  if (canonicalize(value) !== text) throw new ProofError('not_canonical', 'not the canonical form of this JSON');
  return value;
}

/**
 * Writes one value. `JSON.stringify` writes numbers and strings as RFC 8785 wants them, and many times faster: it serves wherever nothing is
 * to be sorted or refused.
 */
class Writer {
  readonly #floats: boolean;
  /** Objects and arrays that are known not to be in form: however deep a value lies, it is looked at twice at most. */
  readonly #outOfForm = new Set<object>();

  constructor(floats: boolean) {
    this.#floats = floats;
  }

  text(value: unknown, depth: number): string {
    return this.#isInForm(value, depth) ? JSON.stringify(value) : this.#write(value, depth);
  }

  /** Whether `JSON.stringify` makes the canonical form of it. */
  #isInForm(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case 'string':
        return value.isWellFormed();
      case 'number':
        return Number.isSafeInteger(value) || (this.#floats && Number.isFinite(value));
      case 'boolean':
        return true;
      case 'object':
        if (value === null) return true;
        if (depth > depthMax || this.#outOfForm.has(value)) return false;
        if (Array.isArray(value) ? this.#areInForm(value, depth + 1) : this.#isObjectInForm(value, depth)) return true;
        this.#outOfForm.add(value);
        return false;
      default:
        return false;
    }
  }

  #areInForm(items: readonly unknown[], depth: number): boolean {
    // Not `every`, which passes over holes.
    for (const item of items) if (!this.#isInForm(item, depth)) return false;
    return true;
  }

  #isObjectInForm(object: object, depth: number): boolean {
    if (!isPlain(object)) return false;
    const members = object as Record<string, unknown>;
    let before: string | undefined;
    for (const key of Object.keys(members)) {
      if ((before !== undefined && before > key) || forbiddenKeys.has(key) || !key.isWellFormed()) return false;
      before = key;
      const member = members[key];
      if (member !== undefined && !this.#isInForm(member, depth + 1)) return false;
    }
    return true;
  }

  /** Writes what is not in form: sorts objects, looks further into arrays, and refuses everything else. */
  #write(value: unknown, depth: number): string {
    if (typeof value === 'string') throw new ProofError('not_canonical', 'a string holds a lone surrogate');
    if (typeof value === 'number') {
      throw new ProofError('not_canonical', 'a number is not an integer within ±(2^53 − 1)');
    }
    if (typeof value !== 'object' || value === null) {
      throw new ProofError('not_canonical', `a ${typeof value} is not JSON`);
    }
    if (depth > depthMax) throw new ProofError('too_deep', `nested over ${depthMax.toString()} deep`);
    if (!Array.isArray(value)) return this.#writeObject(value, depth);
    return `[${Array.from(value, (item) => this.text(item, depth + 1)).join()}]`;
  }

  #writeObject(object: object, depth: number): string {
    if (!isPlain(object)) throw new ProofError('not_canonical', 'only plain objects are JSON');
    const members = object as Record<string, unknown>;
    // By UTF-16 code units, as RFC 8785 §3.2.3 asks: the default order of sort.
    const keys = Object.keys(members).sort();
    let text = '';
    for (const key of keys) {
      const member = members[key];
      if (member === undefined) continue;
      if (forbiddenKeys.has(key)) throw new ProofError('forbidden_key', 'a member has a forbidden name');
      text += `${text === '' ? '' : ','}${this.text(key, depth)}:${this.text(member, depth + 1)}`;
    }
    return `{${text}}`;
  }
}

function isPlain(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null;
}
