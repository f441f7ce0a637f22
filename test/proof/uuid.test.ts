/** UUIDs as text and as bytes. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { isUuid } from '../../src/proof/ids.ts';
import { uuidText, writeUuid } from '../../src/proof/uuid.ts';

describe('a UUID', () => {
  it('is written in lower-case text with four hyphens', () => {
    const bytes = Buffer.from('0123456789abcdeffedcba9876543210', 'hex');
    expect(uuidText(bytes)).to.equal('01234567-89ab-cdef-fedc-ba9876543210');
  });

  it('is the same bytes again after it was text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(7), (bytes, at) => {
        const text = uuidText(bytes);
        expect(isUuid(text)).to.equal(true);
        const written = Buffer.alloc(24, 0xaa);
        writeUuid(written, text, at);
        expect(written.subarray(at, at + 16)).to.deep.equal(Buffer.from(bytes));
        expect(written.filter((byte) => byte === 0xaa).length).to.be.at.least(8);
      }),
    );
  });
});
