/** The text form of API keys. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { apiKeyKinds, generateApiKey, parseApiKey } from '../../src/aaa/api-key.ts';
import { sha256 } from '../../src/proof/hash.ts';

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

describe('an API key', () => {
  for (const kind of apiKeyKinds) {
    it(`of the kind ${kind} is read as what it is, with a prefix that tells too little to use it`, () => {
      const key = generateApiKey(kind);
      expect(key).to.match(new RegExp(`^writ_${kind}_[0-9A-Za-z]{36}$`));
      const parsed = parseApiKey(key);
      expect(parsed?.kind).to.equal(kind);
      expect(parsed?.sha256.equals(sha256(key))).to.equal(true);
      expect(key.startsWith(parsed?.prefix ?? 'none')).to.equal(true);
      expect(parsed?.prefix).to.have.length(`writ_${kind}_`.length + 4);
    });
  }

  it('is never the same twice', () => {
    const keys = new Set(Array.from({ length: 1000 }, () => generateApiKey('pat')));
    expect(keys.size).to.equal(1000);
  });

  it('has a checksum that anybody can make: CRC-32 in base 62', () => {
    expect(parseApiKey(`writ_pat_${'0'.repeat(30)}${checksumOf(`writ_pat_${'0'.repeat(30)}`)}`)?.kind).to.equal('pat');
  });

  it('is refused with any one character changed', () => {
    const position = fc.nat(1000);
    const character = fc.oneof(
      fc.nat(61).map((digit) => base62.charAt(digit)),
      fc.string({ minLength: 1, maxLength: 2 }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...apiKeyKinds), position, character, (kind, at, written) => {
        const key = generateApiKey(kind);
        const i = at % key.length;
        const near = key.slice(0, i) + written + key.slice(i + 1);
        fc.pre(near !== key);
        expect(parseApiKey(near)).to.equal(undefined);
      }),
      { numRuns: 500 },
    );
  });

  it('is refused with two neighbours exchanged, with one left out, and with one twice', () => {
    for (let round = 0; round < 20; round++) {
      const key = generateApiKey('svc');
      for (let i = 0; i < key.length; i++) {
        const [a = '', b = ''] = key.slice(i, i + 2);
        if (a !== b && b !== '') expect(parseApiKey(key.slice(0, i) + b + a + key.slice(i + 2))).to.equal(undefined);
        expect(parseApiKey(key.slice(0, i) + key.slice(i + 1))).to.equal(undefined);
        expect(parseApiKey(key.slice(0, i) + a + key.slice(i))).to.equal(undefined);
      }
    }
  });

  it('is refused as another kind, with anything around it, and as any other text', () => {
    const key = generateApiKey('pat');
    expect(parseApiKey(key.replace('_pat_', '_svc_'))).to.equal(undefined);
    for (const text of [` ${key}`, `${key} `, `${key}\n`, `Bearer ${key}`, key.toUpperCase(), '', 'writ_pat_'])
      expect(parseApiKey(text), JSON.stringify(text)).to.equal(undefined);
    fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => parseApiKey(text) === undefined));
  });
});

/** As a reader of the design would write it, bit by bit. */
function checksumOf(text: string): string {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  let rest = (crc ^ 0xffffffff) >>> 0;
  let digits = '';
  for (let i = 0; i < 6; i++) {
    digits = base62.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}
