import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Column } from '../../src/proof/column.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { HexTable } from '../../src/proof/hex-table.ts';

describe('the table of ids', () => {
  for (const [words, idOf] of [
    [4, () => randomUUID()],
    [8, () => sha256Hex(randomUUID())],
  ] as const) {
    it(`numbers ids of ${(words * 32).toString()} bits in the order in which they come, and finds them`, () => {
      const table = new HexTable(words);
      const ids = Array.from({ length: 5000 }, idOf);
      ids.forEach((id, number) => {
        expect(table.find(id)).to.equal(-1);
        expect(table.add(id)).to.equal(number);
      });
      ids.forEach((id, number) => {
        expect(table.find(id)).to.equal(number);
        expect(table.add(id)).to.equal(number);
      });
      expect(table.size).to.equal(ids.length);
      const bytes = Buffer.alloc(words * 4 + 1);
      table.write(4321, bytes, 1);
      expect(bytes.toString('hex', 1)).to.equal(ids[4321]?.replaceAll('-', ''));
    });
  }

  it('tells ids apart that differ in one digit', () => {
    const table = new HexTable(4);
    const id = '01890000-0000-7000-8000-000000000000';
    for (let at = 0; at < id.length; at++) {
      if (id[at] !== '-') table.add(`${id.slice(0, at)}${id[at] === 'f' ? 'e' : 'f'}${id.slice(at + 1)}`);
    }
    expect(table.size).to.equal(32);
  });
});

describe('a column', () => {
  it('has −1 where nothing was set', () => {
    const column = new Column();
    column.set(2000, 7);
    expect([column.get(0), column.get(1999), column.get(2000), column.get(2001), column.get(-1)]).to.deep.equal([
      -1, -1, 7, -1, -1,
    ]);
    expect(column.push(8)).to.equal(2001);
  });
});
