/** Array parameters in the forms that cost least to write and to read; the driver's own form quotes each element by itself. */

const TEXT_OID = 25;
const BYTEA_OID = 17;

/** A value that rows may have in common. */
export type Common = string | number | boolean | null;

/**
 * An array literal of elements whose text needs no quotes: UUIDs, numbers, times, hex. The caller vouches for that. Where there are only nulls
 * it is empty: `unnest` with longer arrays beside it fills up with nulls.
 */
export function plainArray(values: readonly (string | number | null)[]): string {
  let text = '';
  let isEmpty = true;
  for (const value of values) {
    if (value !== null) isEmpty = false;
    text += `${text === '' ? '' : ','}${value === null ? 'NULL' : String(value)}`;
  }
  return isEmpty ? '{}' : `{${text}}`;
}

/** `text[]`, binary; empty where there are only nulls, as `plainArray`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(TEXT_OID, values, byteLengthOf, writeText);
}

/** `bytea[]`, binary; empty where there are only nulls, as `plainArray`. */
export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  return binaryArray(BYTEA_OID, values, lengthOf, writeBytes);
}

/** `bytea[]` of hashes in hex. */
export function hexArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(BYTEA_OID, values, hexLengthOf, writeHex);
}

/** `bytea[]` of texts in Latin-1: JWS, which are ASCII. */
export function asciiArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(BYTEA_OID, values, charactersOf, writeAscii);
}

/**
 * The binary form (array_send in PostgreSQL's arrayfuncs.c), integers big-endian: dimensions, whether there are nulls, type, then length and
 * lower bound of the one dimension, then each element's length, -1 for null, and its bytes.
 */
function binaryArray<T>(
  oid: number,
  values: readonly (T | null)[],
  bytesOf: (value: T) => number,
  write: (buffer: Buffer, value: T, at: number) => void,
): Buffer {
  let bytes = 20;
  let nulls = 0;
  for (const value of values) {
    bytes += 4 + (value === null ? 0 : bytesOf(value));
    if (value === null) nulls++;
  }
  const isEmpty = nulls === values.length;
  const buffer = Buffer.allocUnsafe(isEmpty ? 12 : bytes);
  buffer.writeInt32BE(isEmpty ? 0 : 1, 0);
  buffer.writeInt32BE(!isEmpty && nulls > 0 ? 1 : 0, 4);
  buffer.writeInt32BE(oid, 8);
  if (isEmpty) return buffer;
  buffer.writeInt32BE(values.length, 12);
  buffer.writeInt32BE(1, 16);
  let at = 20;
  for (const value of values) {
    const length = value === null ? -1 : bytesOf(value);
    buffer.writeInt32BE(length, at);
    at += 4;
    if (value === null) continue;
    write(buffer, value, at);
    at += length;
  }
  return buffer;
}

function byteLengthOf(text: string): number {
  return Buffer.byteLength(text);
}

function writeText(buffer: Buffer, text: string, at: number): void {
  buffer.write(text, at, 'utf8');
}

function lengthOf(bytes: Uint8Array): number {
  return bytes.length;
}

function writeBytes(buffer: Buffer, bytes: Uint8Array, at: number): void {
  buffer.set(bytes, at);
}

function hexLengthOf(hex: string): number {
  return hex.length / 2;
}

function writeHex(buffer: Buffer, hex: string, at: number): void {
  buffer.write(hex, at, 'hex');
}

function charactersOf(text: string): number {
  return text.length;
}

function writeAscii(buffer: Buffer, text: string, at: number): void {
  buffer.write(text, at, 'latin1');
}

/** Gathers what rows have in common: each combination of values is sent once, and a row names it by its position from 1. */
export class Kinds<Values extends readonly Common[]> {
  /** Of each row, the position of its combination. */
  readonly positions: number[] = [];
  readonly #combinations: Values[] = [];
  readonly #known = new Map<string, number>();
  #last: Values | undefined;

  add(values: Values): void {
    if (this.#last === undefined || !areEqual(values, this.#last)) {
      this.#last = values;
      const key = JSON.stringify(values);
      let position = this.#known.get(key);
      if (position === undefined) {
        position = this.#combinations.push(values);
        this.#known.set(key, position);
      }
      this.positions.push(position);
    } else {
      this.positions.push(this.positions.at(-1) ?? 1);
    }
  }

  /** One of the values of each combination. */
  column<I extends keyof Values & number>(index: I): Values[I][] {
    return this.#combinations.map((values) => values[index]);
  }
}

function areEqual(a: readonly Common[], b: readonly Common[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
