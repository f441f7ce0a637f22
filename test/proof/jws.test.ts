import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { decodeBase64url, encodeBase64url } from '../../src/proof/base64url.ts';
import { decodeBase64 } from '../../src/proof/base64.ts';
import { canonicalize } from '../../src/proof/canonical-json.ts';
import { sha256 } from '../../src/proof/hash.ts';
import { CompactJwsGenerator, verifyCompactJws, verifySignature } from '../../src/proof/jws.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { importPublicKey, thumbprint } from '../../src/proof/public-key.ts';
import { ed25519Key, p256Key } from './keys.ts';

const a3 = {
  jwk: {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  },
  input:
    'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ',
  signature: 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
};

describe('JWS and its keys', () => {
  it('verifies the ES256 signature of RFC 7515 A.3', () => {
    const key = importPublicKey(a3.jwk);
    expect(key.algorithm).to.equal('ES256');
    expect(verifySignature(key, Buffer.from(a3.input), decodeBase64url(a3.signature))).to.equal(true);
    expect(verifySignature(key, Buffer.from(`${a3.input}x`), decodeBase64url(a3.signature))).to.equal(false);
  });

  it('refuses the header of RFC 7515 A.3, which names no key, and the P-521 key of A.4', () => {
    const refused = (): unknown =>
      verifyCompactJws(`${a3.input}.${a3.signature}`, 'writ-manifest+jws', () => undefined);
    expect(refused).to.throw(ProofError).with.property('code', 'bad_header');
    const a4 = {
      kty: 'EC',
      crv: 'P-521',
      x: 'AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4XUQcWceqwQGk',
      y: 'ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2',
    };
    expect(() => importPublicKey(a4))
      .to.throw(ProofError)
      .with.property('code', 'bad_key');
  });

  it('verifies the Ed25519 signature and computes the thumbprint of RFC 8037 A.3 and A.4', () => {
    const key = importPublicKey({ kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' });
    expect(key.kid).to.equal('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
    const input = 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc';
    const signature = 'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg';
    expect(verifySignature(key, Buffer.from(input), decodeBase64url(signature))).to.equal(true);
  });

  it('makes thumbprints by the method of RFC 7638 §3.1', () => {
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs' +
      'tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5ha' +
      'jrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';
    const text = canonicalize({ kty: 'RSA', n, e: 'AQAB' });
    expect(encodeBase64url(sha256(text))).to.equal('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
    const { jwk } = p256Key(1);
    const named = Object.assign({}, jwk, { kid: 'not covered' });
    expect(thumbprint(named)).to.equal(thumbprint(jwk));
  });

  it('verifies what the generator makes, in order and with one call to the signer', async () => {
    for (const key of [ed25519Key(1), p256Key(1)]) {
      let calls = 0;
      const signer = { ...key, sign: (texts: readonly Uint8Array[]) => (calls++, key.sign(texts)) };
      const made = await new CompactJwsGenerator(signer, 'writ-receipt+jws').generate([{ n: 1 }, { n: 2 }]);
      expect(calls).to.equal(1);
      const read = made.map((jws) => verifyCompactJws(jws, 'writ-receipt+jws', () => importPublicKey(key.jwk)).payload);
      expect(read).to.deep.equal([{ n: 1 }, { n: 2 }]);
      const texts = made.map((jws) => jws.toString('latin1'));
      expect(
        texts.map((jws) => verifyCompactJws(jws, 'writ-receipt+jws', () => importPublicKey(key.jwk)).payload),
      ).to.deep.equal(read);
    }
  });

  it('refuses bytes that are no ASCII, and text that would be ASCII if it were cut to bytes', async () => {
    const key = ed25519Key(1);
    const [good = Buffer.alloc(0)] = await new CompactJwsGenerator(key, 'writ-receipt+jws').generate([{ n: 1 }]);
    const codeOf = (jws: string | Buffer): unknown => {
      try {
        return verifyCompactJws(jws, 'writ-receipt+jws', () => importPublicKey(key.jwk)).payload;
      } catch (error) {
        return (error as ProofError).code;
      }
    };
    const at = good.lastIndexOf('.') + 5;
    const high = Buffer.from(good);
    high[at] = (high[at] ?? 0) | 0x80;
    expect(codeOf(high)).to.equal('bad_base64url');
    const text = good.toString('latin1');
    const wide = String.fromCharCode(text.charCodeAt(at) | 0x100);
    expect(codeOf(text.slice(0, at) + wide + text.slice(at + 1))).to.equal('bad_base64url');
    expect(codeOf(good)).to.deep.equal({ n: 1 });
  });

  it('refuses what a signer answers that is no signature', async () => {
    const signer = { ...ed25519Key(1), sign: () => Promise.resolve([new Uint8Array(63)]) };
    const error = await new CompactJwsGenerator(signer, 'writ-receipt+jws').generate([{}]).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(ProofError).with.property('code', 'bad_signature');
  });

  it('refuses a payload that makes a JWS of over 512 KiB before it is signed', async () => {
    const generator = new CompactJwsGenerator(ed25519Key(1), 'writ-manifest+jws');
    const error = await generator.generate([{ text: 'x'.repeat(400 * 1024) }]).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(ProofError).with.property('code', 'too_large');
  });

  it('refuses keys with private or other members, points off the curve, and keys of small order', () => {
    const { jwk } = ed25519Key(1);
    const p256 = p256Key(1).jwk;
    const wrong: unknown[] = [
      { ...jwk, d: jwk.x },
      { ...jwk, kid: 'x' },
      { ...jwk, x: `${jwk.x}=` },
      { ...jwk, x: Buffer.alloc(31).toString('base64url') },
      { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32).toString('base64url') },
      { kty: 'OKP', crv: 'X25519', x: jwk.x },
      { ...p256, y: p256.x },
      null,
      'key',
    ];
    for (const key of wrong) expect(() => importPublicKey(key), JSON.stringify(key)).to.throw(ProofError);
  });
});

describe('base64', () => {
  it('has one text for each byte string, in both alphabets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(decodeBase64url(encodeBase64url(bytes)).equals(bytes)).to.equal(true);
        expect(decodeBase64(Buffer.from(bytes).toString('base64')).equals(bytes)).to.equal(true);
      }),
    );
  });

  it('refuses spare bits, padding, white space and the other alphabet', () => {
    for (const text of ['AB', 'AAB', 'AA==', 'A', 'AA ', 'A+/A', '\nAAAA', 'AA.A']) {
      expect(() => decodeBase64url(text), text).to.throw(ProofError);
    }
    for (const text of ['AB==', 'AAB=', 'AA', 'A', 'AAAA ', 'A-_A', 'AAAA=', '====']) {
      expect(() => decodeBase64(text), text).to.throw(ProofError);
    }
  });
});
