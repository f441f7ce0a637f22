/** SHA-256 of bytes that repeat. */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { RepeatedHash } from '../../src/proof/hash.ts';

function hexOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('a hash that is asked for again and again', () => {
  it('is that of the bytes, whatever came before', () => {
    const short = fc.constantFrom('', '{}', '{"duration_ms":0}', '{"duration_ms":1}').map((text) => Buffer.from(text));
    const long = fc.constantFrom(1023, 1024, 1025, 4096).map((length) => Buffer.alloc(length, 7));
    fc.assert(
      fc.property(fc.array(fc.oneof(short, long), { maxLength: 30 }), (list) => {
        const repeated = new RepeatedHash();
        for (const bytes of list) expect(repeated.hex(bytes)).to.equal(hexOf(bytes));
      }),
    );
  });

  it('is not that of bytes which have changed since', () => {
    const repeated = new RepeatedHash();
    const bytes = Buffer.from('before');
    repeated.hex(bytes);
    bytes.write('after!');
    expect(repeated.hex(bytes)).to.equal(hexOf(Buffer.from('after!')));
  });
});
