/** Array parameters arrive at the server as the values they were made of. */

import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import {
  asciiArray,
  byteaArray,
  hexArray,
  Kinds,
  plainArray,
  textArray,
} from '../../../src/platform/postgres/arrays.ts';
import { createPool, type Database } from '../../../src/platform/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

describe('array parameters', () => {
  let testDatabase: TestDatabase;
  let database: Database;

  before(async () => {
    testDatabase = await createTestDatabase();
    database = createPool({ url: testDatabase.url, max: 1 });
  });

  after(async () => {
    await database.close();
    await testDatabase.drop();
  });

  async function arrive(type: string, parameter: unknown): Promise<unknown> {
    const { rows } = await database.query<{ value: unknown }>({
      name: `arrive_${type}`,
      text: `select $1::${type}[] as value`,
      values: [parameter],
    });
    return rows[0]?.value;
  }

  const isNull = (values: readonly unknown[]): boolean => values.every((value) => value === null);
  const text = fc.string({ unit: 'binary', maxLength: 40 }).map((any) => any.replaceAll('\0', '').toWellFormed());
  const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));

  it('of plain elements', async () => {
    const id = '01890a5d-ac96-774b-bcce-b302099a8057';
    expect(await arrive('uuid', plainArray([id, null, id]))).to.deep.equal([id, null, id]);
    expect(await arrive('bigint', plainArray([1, -2, null, Number.MAX_SAFE_INTEGER]))).to.deep.equal([
      1,
      -2,
      null,
      Number.MAX_SAFE_INTEGER,
    ]);
    const time = '2026-01-02T03:04:05.678Z';
    expect(await arrive('timestamptz', plainArray([time, null]))).to.deep.equal([new Date(time), null]);
    expect(await arrive('uuid', plainArray([]))).to.deep.equal([]);
    expect(await arrive('uuid', plainArray([null, null]))).to.deep.equal([]);
  });

  it('of texts with whatever a text can hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(text)), async (values) => {
        expect(await arrive('text', textArray(values))).to.deep.equal(isNull(values) ? [] : values);
      }),
    );
  });

  it('of bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(bytes)), async (values) => {
        const expected = isNull(values) ? [] : values;
        expect(await arrive('bytea', byteaArray(values))).to.deep.equal(expected);
        const hex = values.map((value) => value?.toString('hex') ?? null);
        expect(await arrive('bytea', hexArray(hex))).to.deep.equal(expected);
      }),
    );
    expect(await arrive('bytea', asciiArray(['abc', null, '']))).to.deep.equal([
      Buffer.from('abc'),
      null,
      Buffer.alloc(0),
    ]);
  });
});

describe('kinds of rows', () => {
  it('send each combination of values once, and give every row its own back', () => {
    const value = fc.constantFrom(null, 'a', 'b', 1, true);
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value)), (rows) => {
        const kinds = new Kinds<(typeof rows)[number]>();
        for (const row of rows) kinds.add(row);
        const back = kinds.positions.map((n) => [kinds.column(0)[n - 1], kinds.column(1)[n - 1]]);
        expect(back).to.deep.equal(rows);
        expect(kinds.column(0)).to.have.lengthOf(new Set(rows.map((row) => JSON.stringify(row))).size);
      }),
    );
  });

  it('tell a text from the number and the null that it looks like', () => {
    const kinds = new Kinds<readonly [string | number | null]>();
    for (const value of ['1', 1, null, 'null']) kinds.add([value]);
    expect(kinds.positions).to.deep.equal([1, 2, 3, 4]);
  });
});
