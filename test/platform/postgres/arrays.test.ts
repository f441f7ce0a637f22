/** Array parameters arrive at the server as the values they were made of. */

import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import {
  bigintArray,
  byteaArray,
  hexArray,
  intArray,
  Kinds,
  textArray,
  timeArray,
  uuidArray,
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

  it('of UUIDs', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(fc.uuid())), async (values) => {
        expect(await arrive('uuid', uuidArray(values))).to.deep.equal(isNull(values) ? [] : values);
      }),
    );
  });

  it('of numbers and times', async () => {
    const edges = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)];
    const largeEdges = [...edges, 2 ** 32, -(2 ** 32), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
    const time = fc.date({ min: new Date('1600-01-01'), max: new Date('2200-01-01'), noInvalidDate: true });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.option(fc.oneof(fc.constantFrom(...edges), fc.integer()))),
        fc.array(fc.option(fc.oneof(fc.constantFrom(...largeEdges), fc.maxSafeInteger()))),
        fc.array(fc.option(time)),
        async (ints, bigints, times) => {
          expect(await arrive('integer', intArray(ints))).to.deep.equal(isNull(ints) ? [] : ints);
          const wide = bigints.map((value) => (value === null ? null : value + 0));
          expect(await arrive('bigint', bigintArray(wide))).to.deep.equal(isNull(wide) ? [] : wide);
          const ms = times.map((value) => value?.getTime() ?? null);
          expect(await arrive('timestamptz', timeArray(ms))).to.deep.equal(isNull(times) ? [] : times);
        },
      ),
    );
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
