/** How PostgreSQL's types arrive in JavaScript where the driver's own choice would not do. */
import pg from 'pg';

const INT8_OID = 20;
const INT8_ARRAY_OID = 1016;

type Format = 'text' | 'binary';
type Parser = (value: string) => unknown;
type NestedTexts = (string | null | NestedTexts)[];

/** The driver's own table; its type does not know the types of arrays. */
const driverParser = pg.types.getTypeParser as (oid: number, format: Format) => Parser;

/** Handed to each connection: `int8` as a number, all else as the driver does it (`timestamptz` a Date, `bytea` a Buffer). */
export const typeParsers: pg.CustomTypesConfig = { getTypeParser: parserOf as typeof pg.types.getTypeParser };

function parserOf(oid: number, format: Format = 'text'): Parser {
  if (oid === INT8_OID && format === 'text') return parseInt8;
  if (oid === INT8_ARRAY_OID && format === 'text') return parseInt8Array;
  return driverParser(oid, format);
}

/** Sequence numbers are hashed and signed: a rounded one must never pass for the real one. */
function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`int8 beyond the safe integers: ${text}`);
  }
  return value;
}

function parseInt8Array(text: string): unknown[] {
  return numbersOf(driverParser(INT8_ARRAY_OID, 'text')(text) as NestedTexts);
}

function numbersOf(texts: NestedTexts): unknown[] {
  return texts.map((text) => (text === null ? null : Array.isArray(text) ? numbersOf(text) : parseInt8(text)));
}
