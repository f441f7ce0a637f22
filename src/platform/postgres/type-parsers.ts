/** How PostgreSQL's types arrive in JavaScript where the driver's own choice would not do. */
import pg from 'pg';

const INT8_OID = 20;
const INT8_ARRAY_OID = 1016;
const TEXT_FORMAT = 'text';

/** Handed to each connection: `int8` as a number, all else as the driver does it (`timestamptz` is a Date, `bytea` a Buffer). */
export const typeParsers: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: 'text' | 'binary' = TEXT_FORMAT) => {
    if (oid === INT8_OID && format === TEXT_FORMAT) return parseInt8;
    if (oid === INT8_ARRAY_OID && format === TEXT_FORMAT) return parseInt8Array;
    return pg.types.getTypeParser(oid, format as "text") as unknown;
  }) as typeof pg.types.getTypeParser,
};

/** Sequence numbers are hashed and signed: a rounded one must never pass for the real one. */
function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`int8 beyond the safe integers: ${text}`);
  }
  return value;
}

function parseInt8Array(text: string): unknown {
  const parseArray = pg.types.getTypeParser(INT8_ARRAY_OID as number, TEXT_FORMAT) as (text: string) => NestedTexts;
  return numbersOf(parseArray(text));
}

type NestedTexts = (string | null | NestedTexts)[];

function numbersOf(texts: NestedTexts): unknown[] {
  return texts.map((text) => (text === null ? null : Array.isArray(text) ? numbersOf(text) : parseInt8(text)));
}
