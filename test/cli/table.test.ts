import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createStyle } from '../../src/cli/style.ts';
import { formatPairs, formatTable } from '../../src/cli/table.ts';

const plain = { style: createStyle(false), columns: Infinity };
const columns = [
  { header: 'NAME', isFlexible: true },
  { header: 'N', align: 'right' as const },
];

describe('a table', () => {
  it('lines columns up, numbers to the right, without trailing spaces', () => {
    const rows = [
      ['a', '1'],
      ['longer', '200'],
    ];
    expect(formatTable(columns, rows, plain)).to.deep.equal(['NAME      N', 'a         1', 'longer  200']);
    expect(formatTable([{ header: 'A' }, { header: 'B' }], [['x', '']], plain)).to.deep.equal(['A  B', 'x']);
  });

  it('cuts the flexible column to the width of the terminal, and to no less than can be read', () => {
    const rows = [['x'.repeat(50), '1']];
    expect(formatTable(columns, rows, { ...plain, columns: 30 })[1]).to.equal(`${'x'.repeat(26)}…  1`);
    expect(formatTable(columns, rows, { ...plain, columns: 3 })[1]).to.equal(`${'x'.repeat(11)}…  1`);
  });

  it('shows what would steer the terminal, in cells and names', () => {
    const row = ['\u001b[2J', { text: 'a\nb', tint: undefined }];
    expect(formatTable(columns, [row], plain)[1]).to.equal('\\u001b[2J  a\\u000ab');
    expect(formatPairs([['key', '\u202e']], plain.style)).to.deep.equal(['key  \\u202e']);
  });

  it('colours cells only where colours are wanted', () => {
    const cell = { text: 'failed', tint: 'red' as const };
    expect(formatTable([{ header: 'S' }], [[cell]], { ...plain, style: createStyle(true) })[1]).to.equal(
      '\u001b[31mfailed\u001b[0m',
    );
    expect(formatTable([{ header: 'S' }], [[cell]], plain)[1]).to.equal('failed');
  });
});
