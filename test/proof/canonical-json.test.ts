import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  canonicalize,
  canonicalizeWithFloats,
  parseCanonical,
  type CanonicalValue,
} from '../../src/proof/canonical-json.ts';
import { ProofError } from '../../src/proof/proof-error.ts';

const codeOf = (act: () => unknown): string | undefined => {
  try {
    act();
  } catch (error) {
    return error instanceof ProofError ? error.code : String(error);
  }
  return undefined;
};

/** A second, slower way to the same text: entries sorted as UTF-16 code units, and JSON.stringify for the leaves. */
function written(value: CanonicalValue | undefined): string {
  if (Array.isArray(value)) return `[${(value as CanonicalValue[]).map(written).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const units = (text: string): number[] => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  const entries = Object.entries(value as Record<string, CanonicalValue>).sort(([one], [two]) => {
    const [a, b] = [units(one), units(two)];
    const at = a.findIndex((unit, i) => unit !== b[i]);
    return at < 0 ? a.length - b.length : (a[at] ?? 0) - (b[at] ?? -1);
  });
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${written(member)}`).join(',')}}`;
}

const key = fc
  .string({ unit: 'binary', maxLength: 8 })
  .filter((text) => !/^(?:__proto__|constructor|prototype)$/.test(text));
const value = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'binary' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

describe('canonical JSON', () => {
  it('sorts members by UTF-16 code units (RFC 8785 §3.2.3)', () => {
    const text =
      '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",' +
      '"\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}';
    const sorted = Object.values(
      JSON.parse(canonicalize(JSON.parse(text) as CanonicalValue)) as Record<string, string>,
    );
    // JSON.parse puts the member that looks like an index first; the text itself has it second.
    expect(
      canonicalize(JSON.parse(text) as CanonicalValue).startsWith('{"\\r":"Carriage Return","1":"One","\u0080"'),
    ).to.equal(true);
    expect(sorted.filter((name) => name !== 'One')).to.deep.equal([
      'Carriage Return',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  it('writes strings, literals and floats of payloads as the example of RFC 8785 §3.2.2', () => {
    const example = {
      numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalizeWithFloats(example)).to.equal(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('writes numbers as RFC 8785 appendix B', () => {
    const vectors: [bits: string, text: string][] = [
      ['0000000000000000', '0'],
      ['8000000000000000', '0'],
      ['0000000000000001', '5e-324'],
      ['7fefffffffffffff', '1.7976931348623157e+308'],
      ['4340000000000000', '9007199254740992'],
      ['4430000000000000', '295147905179352830000'],
      ['44b52d02c7e14af5', '9.999999999999997e+22'],
      ['44b52d02c7e14af6', '1e+23'],
      ['44b52d02c7e14af7', '1.0000000000000001e+23'],
      ['444b1ae4d6e2ef50', '1e+21'],
      ['3eb0c6f7a0b5ed8d', '0.000001'],
      ['41b3de4355555553', '333333333.3333332'],
      ['becbf647612f3696', '-0.0000033333333333333333'],
      ['43143ff3c1cb0959', '1424953923781206.2'],
    ];
    for (const [bits, text] of vectors) {
      expect(canonicalizeWithFloats(Buffer.from(bits, 'hex').readDoubleBE()), bits).to.equal(text);
    }
  });

  it('reads back what it wrote, and writes what another implementation writes', () => {
    fc.assert(
      fc.property(value, (any) => {
        const isWellFormed = JSON.stringify(any) === JSON.stringify(any).replace(/\\ud[89a-f][0-9a-f]{2}/g, '');
        fc.pre(isWellFormed);
        const text = canonicalize(any);
        expect(text).to.equal(written(any));
        expect(canonicalize(parseCanonical(text))).to.equal(text);
      }),
    );
  });

  it('has members that look like numbers in the order of their text, not of their number', () => {
    expect(canonicalize({ 9: 1, 10: [2, { 2: 'b', 11: 'a' }] })).to.equal('{"10":[2,{"11":"a","2":"b"}],"9":1}');
    expect(parseCanonical('{"10":2,"9":1}')).to.deep.equal({ 9: 1, 10: 2 });
    expect(codeOf(() => parseCanonical('{"9":1,"10":2}'))).to.equal('not_canonical');
  });

  it('leaves out members that are undefined, in order or not', () => {
    expect(canonicalize({ a: 1, b: undefined, c: 2 })).to.equal('{"a":1,"c":2}');
    expect(canonicalize({ c: 2, b: undefined, a: 1 })).to.equal('{"a":1,"c":2}');
  });

  it('refuses any other form of the same value', () => {
    for (const text of [
      '{"b":1,"a":2}',
      '{"a":1, "b":2}',
      '{"a":1,"a":1}',
      '-0',
      '[1,-0]',
      '1.0',
      '1e2',
      '"\\u0041"',
      '"\\/"',
      ' 1',
      '1\n',
      '\ufeff1',
    ]) {
      expect(
        codeOf(() => parseCanonical(text)),
        text,
      ).to.be.oneOf(['not_canonical', 'not_json']);
    }
  });

  it('refuses what canonical JSON cannot say', () => {
    const wrong: unknown[] = [
      0.5,
      2 ** 53,
      NaN,
      Infinity,
      '\ud800',
      { '\ud800': 1 },
      undefined,
      [undefined],
      [, 1],
      { a: { toJSON: () => 1 } },
      1n,
      new Date(0),
      Symbol('x'),
      () => 1,
    ];
    for (const any of wrong)
      expect(
        codeOf(() => canonicalize(any as CanonicalValue)),
        String(any),
      ).to.equal('not_canonical');
    expect(codeOf(() => parseCanonical('{"__proto__":1}'))).to.equal('forbidden_key');
    expect(codeOf(() => parseCanonical('{"constructor":1}'))).to.equal('forbidden_key');
  });

  it('nests 32 deep and no deeper', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseCanonical(nested(32))).to.be.an('array');
    expect(codeOf(() => parseCanonical(nested(33)))).to.equal('too_deep');
  });
});
