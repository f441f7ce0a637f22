import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { AppError } from '../../../src/domain/error.ts';
import { parseJson } from '../../../src/doors/http/json-body.ts';

function reasonOf(bytes: string | Uint8Array): string {
  try {
    parseJson(Buffer.from(bytes as string));
    return 'accepted';
  } catch (error) {
    if (error instanceof AppError) return error.reason;
    throw error;
  }
}

describe('JSON of a body', () => {
  const refused: [what: string, bytes: string | Uint8Array, reason: string][] = [
    ['a member twice', '{"a":1,"a":2}', 'duplicate_member'],
    ['a member twice, deep inside', '[{"x":{"a":1,"b":{},"a":2}}]', 'duplicate_member'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":2}', 'duplicate_member'],
    ['__proto__', '{"__proto__":{"admin":true}}', 'forbidden_member'],
    ['__proto__, escaped', '{"\\u005f_proto__":1}', 'forbidden_member'],
    ['constructor in a list', '[{"constructor":1}]', 'forbidden_member'],
    ['prototype', '{"a":{"prototype":1}}', 'forbidden_member'],
    ['33 levels', '['.repeat(33) + ']'.repeat(33), 'too_deep'],
    ['a byte order mark', '\ufeff{}', 'invalid_json'],
    ['a lone surrogate', '{"a":"\\ud800"}', 'forbidden_character'],
    ['a lone surrogate in a name', '{"\\uDFFF":1}', 'forbidden_character'],
    ['NUL', '{"a":["x\\u0000y"]}', 'forbidden_character'],
    ['an overlong UTF-8 form', Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), 'invalid_utf8'],
    ['half a UTF-8 sequence', Uint8Array.of(0x22, 0xe2, 0x82), 'invalid_utf8'],
    ['a surrogate in UTF-8', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'invalid_utf8'],
    ['nothing', '', 'invalid_json'],
    ['two values', '{} {}', 'invalid_json'],
    ['a comment', '{/* */}', 'invalid_json'],
    ['NaN', '{"a":NaN}', 'invalid_json'],
    ['an open string', '{"a":"', 'invalid_json'],
    ['a string that ends in a backslash', '"\\', 'invalid_json'],
    ['single quotes', `{'a':1}`, 'invalid_json'],
  ];
  for (const [what, bytes, reason] of refused) {
    it(`refuses ${what}`, () => {
      expect(reasonOf(bytes)).to.equal(reason);
    });
  }

  it('takes 32 levels, brackets and colons in strings, escaped quotes, and surrogate pairs', () => {
    expect(reasonOf('['.repeat(32) + ']'.repeat(32))).to.equal('accepted');
    const text = '{"a:{[":"\\"{[:\\\\","b":"\\ud83d\\ude00","c":"\\\\u0000"}';
    expect(parseJson(Buffer.from(text))).to.deep.equal(JSON.parse(text));
  });

  it('refuses 200,000 levels in under 50 ms', () => {
    for (const opening of ['[', '{"a":']) {
      const bytes = Buffer.from(opening.repeat(200_000));
      const started = performance.now();
      expect(reasonOf(bytes)).to.equal('too_deep');
      expect(performance.now() - started).to.be.below(50);
    }
  });

  it('reads any JSON as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(
          !/__proto__|constructor|prototype|\\u0000/.test(text) && text.isWellFormed() && !/\\ud[89a-f]/.test(text),
        );
        expect(parseJson(Buffer.from(text))).to.deep.equal(JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });
});
