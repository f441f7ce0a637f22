/** Array parameters in the forms that cost least to write and to read; the driver's own form quotes each element by itself. */

import { writeUuid } from '../../proof/uuid.ts';

/** Numbers of types in pg_type. */
const BYTEA_OID = 17;
const INT8_OID = 20;
const INT4_OID = 23;
const TEXT_OID = 25;
const TIMESTAMPTZ_OID = 1184;
const UUID_OID = 2950;

/** 2000-01-01T00:00:00Z, from where PostgreSQL counts microseconds. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** A value that rows may have in common. */
export type Common = string | number | boolean | null;

/*
 * Each of these makes one array parameter, in binary form. Where there are only nulls the array is empty: `unnest` with longer arrays beside
 * it fills up with nulls.
 */

/** `uuid[]` of UUIDs in lower-case text; the caller vouches for their form. */
export function uuidArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(UUID_OID, values, uuidLength, writeUuidAt);
}

/** `integer[]`. */
export function intArray(values: readonly (number | null)[]): Buffer {
  return binaryArray(INT4_OID, values, intLength, writeInt);
}

/** `bigint[]` of safe integers. */
export function bigintArray(values: readonly (number | null)[]): Buffer {
  return binaryArray(INT8_OID, values, bigintLength, writeBigint);
}

/** `timestamptz[]` of milliseconds since the Unix epoch. */
export function timeArray(values: readonly (number | null)[]): Buffer {
  return binaryArray(TIMESTAMPTZ_OID, values, bigintLength, writeTime);
}

/** `text[]`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(TEXT_OID, values, byteLengthOf, writeText);
}

/** `bytea[]`. */
export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  return binaryArray(BYTEA_OID, values, lengthOf, writeBytes);
}

/** `bytea[]` of hashes in hex. */
export function hexArray(values: readonly (string | null)[]): Buffer {
  return binaryArray(BYTEA_OID, values, hexLengthOf, writeHex);
}

/**
 * The binary form (array_send in PostgreSQL's arrayfuncs.c), integers big-endian: dimensions, whether there are nulls, type, then length and
 * lower bound of the one dimension, then each element's length, -1 for null, and its bytes.
 */
function binaryArray<T>(
  oid: number,
  values: readonly (T | null)[],
  bytesOf: (value: T) => number,
  write: (buffer: Buffer, value: T, at: number) => number,
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
    const length = value === null ? -1 : write(buffer, value, at + 4);
    buffer.writeInt32BE(length, at);
    at += 4 + Math.max(0, length);
  }
  return buffer;
}

/* How many bytes a value has, and functions that write it at a place and answer how many that were. */

function uuidLength(): number {
  return 16;
}

function writeUuidAt(buffer: Buffer, uuid: string, at: number): number {
  writeUuid(buffer, uuid, at);
  return 16;
}

function intLength(): number {
  return 4;
}

function writeInt(buffer: Buffer, value: number, at: number): number {
  buffer.writeInt32BE(value, at);
  return 4;
}

function bigintLength(): number {
  return 8;
}

/** Two halves: arithmetic on a BigInt costs an object each. */
function writeBigint(buffer: Buffer, value: number, at: number): number {
  const high = Math.floor(value / 2 ** 32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * 2 ** 32, at + 4);
  return 8;
}

function writeTime(buffer: Buffer, ms: number, at: number): number {
  return writeBigint(buffer, (ms - POSTGRES_EPOCH_MS) * 1000, at);
}

function byteLengthOf(text: string): number {
  return Buffer.byteLength(text);
}

function writeText(buffer: Buffer, text: string, at: number): number {
  return buffer.write(text, at, 'utf8');
}

function lengthOf(bytes: Uint8Array): number {
  return bytes.length;
}

function writeBytes(buffer: Buffer, bytes: Uint8Array, at: number): number {
  buffer.set(bytes, at);
  return bytes.length;
}

function hexLengthOf(hex: string): number {
  return hex.length / 2;
}

function writeHex(buffer: Buffer, hex: string, at: number): number {
  return buffer.write(hex, at, 'hex');
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

  /** The values from `first` to before `end`, each of all combinations. */
  columns(end: number, first = 0): Common[][] {
    return Array.from({ length: end - first }, (_, i) => this.#combinations.map((values) => values[first + i] ?? null));
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
