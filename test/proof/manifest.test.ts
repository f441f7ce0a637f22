import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { encodeBase64url } from '../../src/proof/base64url.ts';
import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { jwsMaxBytes } from '../../src/proof/jws.ts';
import {
  taskSha256,
  verifyManifest,
  type ManifestExpectation,
  type ManifestPayload,
} from '../../src/proof/manifest.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { importPublicKey } from '../../src/proof/public-key.ts';
import { verifyReceipt } from '../../src/proof/receipt.ts';
import { ed25519Key, p256Key, type TestKey } from './keys.ts';
import { origin, signJws, someGrant, toolDigest } from './log-builder.ts';

const key = p256Key(1);
const edKey = ed25519Key(1);
const trusted = new Map([key, edKey].map((one) => [one.kid, importPublicKey(one.jwk)]));
const node = '01890000-0000-7000-8000-00000000aaaa';
const nowS = 1_767_323_045;

const good: ManifestPayload = {
  iss: origin,
  aud: node,
  jti: '01890000-0000-7000-8000-000000000001',
  iat: nowS,
  nbf: nowS,
  exp: nowS + 60,
  grants: [someGrant],
  orders: [
    { task_id: '01890000-0000-7000-8000-000000000002', attempt: 1, grant: 0, payload_sha256: 'a'.repeat(64) },
    {
      task_id: '01890000-0000-7000-8000-000000000003',
      attempt: 7,
      grant: 0,
      payload_sha256: 'b'.repeat(64),
      traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`,
    },
  ],
};

const expectation: ManifestExpectation = {
  issuer: origin,
  audience: node,
  nowS,
  findKey: (kid) => trusted.get(kid),
  isSeen: () => false,
};

/** The reason for which a manifest is refused; undefined where it is believed. */
function refusal(jws: string, change: Partial<ManifestExpectation> = {}): string | undefined {
  try {
    verifyManifest(jws, { ...expectation, ...change });
  } catch (error) {
    return error instanceof ProofError ? error.code : String(error);
  }
  return undefined;
}

/** A JWS over texts as they are, well signed. */
function signRaw(header: string, payload: string | Buffer, by: TestKey = key): string {
  const input = `${encodeBase64url(header)}.${encodeBase64url(payload)}`;
  return `${input}.${encodeBase64url(by.signOne(Buffer.from(input)))}`;
}

const sign = (payload: object, by: TestKey = key): string => signJws(by, 'writ-manifest+jws', payload).jws;
const headerText = (members: object = {}): string =>
  canonicalize({ alg: 'ES256', kid: key.kid, typ: 'writ-manifest+jws', ...members });
const payloadText = canonicalize(good as unknown as CanonicalValue);
const goodJws = sign(good);
const [goodHeader = '', goodPayload = '', goodSignature = ''] = goodJws.split('.');

describe('a hostile manifest is refused', () => {
  it('unless it is not hostile', () => {
    expect(refusal(goodJws)).to.equal(undefined);
    expect(refusal(sign(good, edKey))).to.equal(undefined);
  });

  it('with any byte flipped', function () {
    this.timeout(20_000);
    for (let at = 0; at < goodJws.length; at++) {
      const bytes = Buffer.from(goodJws);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 7));
      expect(refusal(bytes.toString('latin1')), `byte ${at.toString()}`).to.be.a('string');
    }
  });

  it('with alg none, with or without a signature', () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
      expect(refusal(signRaw(headerText({ alg }), payloadText)), alg).to.equal('bad_algorithm');
      expect(refusal(`${encodeBase64url(headerText({ alg }))}.${goodPayload}.`), alg).to.equal('bad_form');
    }
  });

  it('with HS256 and the public key as the secret', () => {
    const input = `${encodeBase64url(headerText({ alg: 'HS256' }))}.${goodPayload}`;
    for (const secret of [Buffer.from(key.jwk.x, 'base64url'), Buffer.from(JSON.stringify(key.jwk))]) {
      const mac = createHmac('sha256', secret).update(input).digest('base64url');
      expect(refusal(`${input}.${mac}`)).to.equal('bad_algorithm');
    }
  });

  it('with another algorithm than that of the kid, or another case of its name', () => {
    expect(refusal(signRaw(headerText({ alg: 'EdDSA' }), payloadText, edKey))).to.equal('bad_algorithm');
    expect(refusal(signRaw(headerText({ kid: edKey.kid }), payloadText))).to.equal('bad_algorithm');
    for (const alg of ['es256', 'Es256', 'ES256 ', 'Ed25519', 'eddsa', 'ES384', 'RS256', 256, null, ['ES256']]) {
      expect(refusal(signRaw(headerText({ alg }), payloadText)), String(alg)).to.equal('bad_algorithm');
    }
  });

  it('with a hostile kid', () => {
    const kids = [
      '../../etc/passwd',
      "' OR 1=1 --",
      'https://evil.example/key',
      '__proto__',
      'constructor',
      '',
      'x'.repeat(10_000),
      'x'.repeat(600),
      `${key.kid}\n`,
      null,
      7,
      { kid: key.kid },
    ];
    for (const kid of kids)
      expect(refusal(signRaw(headerText({ kid }), payloadText)), JSON.stringify(kid)).to.equal('bad_header');
    expect(refusal(signRaw(headerText({ kid: p256Key(9).kid }), payloadText, p256Key(9)))).to.equal('unknown_key');
  });

  it('with jwk, jku, x5u, x5c, crit, b64 or anything else in the header', () => {
    const members = {
      jwk: key.jwk,
      jku: 'https://evil.example',
      x5u: 'https://evil.example',
      x5c: ['x'],
      crit: ['b64'],
      b64: false,
      cty: 'x',
    };
    for (const [name, value] of Object.entries(members)) {
      expect(refusal(signRaw(headerText({ [name]: value }), payloadText)), name).to.equal('bad_header');
    }
    expect(refusal(signRaw(headerText({ kid: undefined }), payloadText))).to.equal('bad_header');
    expect(refusal(signRaw('[]', payloadText))).to.equal('bad_header');
    expect(refusal(signRaw('null', payloadText))).to.equal('bad_header');
  });

  it('with a header in another form than the canonical one', () => {
    const { kid } = key;
    const forms = [
      `{"kid":"${kid}","alg":"ES256","typ":"writ-manifest+jws"}`,
      ` ${headerText()}`,
      headerText().replace('"alg":"ES256"', '"alg":"ES256","alg":"ES256"'),
      headerText().replace('ES256', '\\u0045S256'),
      `\ufeff${headerText()}`,
    ];
    for (const form of forms)
      expect(refusal(signRaw(form, payloadText)), form).to.be.oneOf(['not_canonical', 'not_json']);
  });

  it('with an altered encoding of its signature that lenient libraries accept', () => {
    const lastCharacter = goodSignature.at(-1) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spareBits = alphabet[alphabet.indexOf(lastCharacter) | 1] ?? '';
    const signature = Buffer.from(goodSignature, 'base64url');
    const altered = [
      `${goodSignature}=`,
      `${goodSignature}==`,
      `${goodSignature} `,
      `${goodSignature}\n`,
      ` ${goodSignature}`,
      `${goodSignature.slice(0, 40)}\n${goodSignature.slice(40)}`,
      goodSignature.slice(0, -1) + (spareBits === lastCharacter ? 'B' : spareBits),
      `${goodSignature}A`,
      `${goodSignature}AA`,
      goodSignature.slice(0, -1),
      signature.toString('base64'),
      encodeBase64url(Buffer.concat([signature, Buffer.alloc(1)])),
      encodeBase64url(
        Buffer.concat([
          Buffer.from('30440220', 'hex'),
          signature.subarray(0, 32),
          Buffer.from('0220', 'hex'),
          signature.subarray(32),
        ]),
      ),
      encodeBase64url(Buffer.alloc(64)),
    ];
    for (const text of altered) {
      expect(refusal(`${goodHeader}.${goodPayload}.${text}`), text).to.be.oneOf(['bad_base64url', 'bad_signature']);
    }
    for (const text of [
      `${goodHeader}=.${goodPayload}.${goodSignature}`,
      `${goodHeader}.${goodPayload}=.${goodSignature}`,
    ]) {
      expect(refusal(text)).to.equal('bad_base64url');
    }
  });

  it('in any other form than three segments', () => {
    const forms = [
      '',
      '.',
      '..',
      '...',
      goodHeader,
      `${goodHeader}.${goodPayload}`,
      `${goodJws}.`,
      `${goodJws}.x`,
      `.${goodPayload}.${goodSignature}`,
    ];
    for (const form of forms) expect(refusal(form), form).to.equal('bad_form');
    const json = JSON.stringify({ payload: goodPayload, protected: goodHeader, signature: goodSignature });
    expect(refusal(json)).to.equal('bad_form');
  });

  it('with duplicate members, a byte order mark, -0, 1.0, big integers or invalid UTF-8 in the payload', () => {
    const forms = [
      payloadText.replace('"aud":', '"aud":"x","aud":'),
      `\ufeff${payloadText}`,
      payloadText.replace('"grant":0', '"grant":-0'),
      payloadText.replace('"attempt":1', '"attempt":1.0'),
      payloadText.replace('"attempt":1', '"attempt":1e0'),
      payloadText.replace('"attempt":1', '"attempt":9007199254740993'),
      payloadText.replace('"attempt":1', '"attempt":0.5'),
      payloadText.replace('"attempt":1', `"attempt":${'9'.repeat(400)}`),
      payloadText.replace('{', '{ '),
      `${payloadText}\n`,
      payloadText.replace(node, node.replace('a', '\\u0061')),
    ];
    for (const form of forms)
      expect(refusal(signRaw(headerText(), form)), form.slice(0, 60)).to.be.oneOf(['not_canonical', 'not_json']);
    const invalid = Buffer.from(payloadText.replace(origin, `${origin}\u00ff`), 'latin1');
    expect(refusal(signRaw(headerText(), invalid))).to.equal('not_canonical');
    expect(refusal(signRaw(headerText(), payloadText.replace('{', '{"__proto__":{},')))).to.equal('forbidden_key');
    expect(refusal(signRaw(headerText(), '['.repeat(200_000)))).to.be.oneOf(['not_json', 'too_deep']);
  });

  it('when it is replayed: here, at another node, or a hundred at once', () => {
    const seen = new Set<string>();
    const isSeen = (jti: string): boolean => seen.has(jti) || !seen.add(jti);
    const outcomes = Array.from({ length: 100 }, () => refusal(goodJws, { isSeen }));
    expect(outcomes.filter((outcome) => outcome === undefined)).to.have.length(1);
    expect(outcomes.filter((outcome) => outcome === 'replayed')).to.have.length(99);
    expect(refusal(goodJws, { audience: '01890000-0000-7000-8000-00000000bbbb' })).to.equal('bad_audience');
  });

  it('before it is marked as seen where anything else is wrong with it', () => {
    let asked = 0;
    const isSeen = (): boolean => asked++ > 0;
    expect(refusal(`${goodHeader}.${goodPayload}.${encodeBase64url(Buffer.alloc(64, 1))}`, { isSeen })).to.equal(
      'bad_signature',
    );
    expect(refusal(goodJws, { isSeen, nowS: nowS + 100 })).to.equal('expired');
    expect(asked).to.equal(0);
  });

  it('when it is expired, also while it was queued, or not yet valid', () => {
    expect(refusal(goodJws, { nowS: nowS + 89 })).to.equal(undefined);
    expect(refusal(goodJws, { nowS: nowS + 90 })).to.equal('expired');
    expect(refusal(goodJws, { nowS: nowS - 30 })).to.equal(undefined);
    expect(refusal(goodJws, { nowS: nowS - 31 })).to.equal('not_yet_valid');
  });

  it('when its times do not fit together', () => {
    for (const times of [
      { exp: nowS + 61 },
      { exp: nowS + 10_000 },
      { nbf: nowS - 5 },
      { exp: nowS - 1 },
      { iat: -1 },
      { exp: String(nowS + 60) },
    ]) {
      expect(refusal(sign({ ...good, ...times })), JSON.stringify(times)).to.equal('bad_payload');
    }
  });

  it('when it is issued by another log, or addressed to another node, to many, or to nobody', () => {
    expect(refusal(sign({ ...good, iss: 'audit.evil.example' }))).to.equal('bad_issuer');
    expect(refusal(sign({ ...good, aud: '01890000-0000-7000-8000-00000000bbbb' }))).to.equal('bad_audience');
    for (const aud of [[node], '*', '', null, node.toUpperCase()])
      expect(refusal(sign({ ...good, aud })), String(aud)).to.equal('bad_payload');
  });

  it('when its key is retired', () => {
    const findKey = (kid: string): ReturnType<typeof trusted.get> => (kid === key.kid ? undefined : trusted.get(kid));
    expect(refusal(goodJws, { findKey })).to.equal('unknown_key');
  });

  it('when it is another type of token, and it is no receipt itself', () => {
    for (const typ of ['writ-receipt+jws', 'JWT', 'WRIT-MANIFEST+JWS', 'application/writ-manifest+jws', '']) {
      expect(refusal(signRaw(headerText({ typ }), payloadText)), typ).to.equal('bad_type');
    }
    const asReceipt = (): unknown => verifyReceipt(goodJws, () => ({ nodeId: node, key: importPublicKey(key.jwk) }));
    expect(asReceipt).to.throw(ProofError).with.property('code', 'bad_type');
  });

  it('with unlisted members, or without listed ones, at any level', () => {
    const [order, second] = good.orders;
    const wrong: object[] = [
      { ...good, extra: 1 },
      { ...good, jti: undefined },
      { ...good, grants: [{ ...someGrant, extra: 1 }] },
      { ...good, grants: [{ ...someGrant, approvals: undefined }] },
      { ...good, grants: [{ ...someGrant, approvals: [{ by: 'x' }] }] },
      { ...good, orders: [{ ...order, extra: 1 }, second] },
      { ...good, orders: [{ ...order, payload_sha256: undefined }, second] },
      { ...good, orders: [] },
      { ...good, grants: [] },
      { ...good, orders: {} },
    ];
    for (const payload of wrong) expect(refusal(sign(payload)), JSON.stringify(payload)).to.equal('bad_payload');
    expect(refusal(signRaw(headerText(), '[]'))).to.equal('bad_payload');
    expect(refusal(signRaw(headerText(), 'null'))).to.equal('bad_payload');
  });

  it('when grants and orders do not fit together', () => {
    const [order, second] = good.orders;
    const other = { ...someGrant, action: 'other' };
    const wrong: object[] = [
      { ...good, grants: [someGrant, other] },
      { ...good, grants: [someGrant, someGrant], orders: [order, { ...second, grant: 1 }] },
      { ...good, orders: [order, { ...second, grant: 1 }] },
      { ...good, orders: [order, { ...second, grant: -1 }] },
      { ...good, orders: [order, order] },
      { ...good, orders: [order, { ...second, attempt: 0 }] },
      { ...good, orders: [order, { ...second, task_id: 'x' }] },
      { ...good, grants: [{ ...someGrant, tool_digest: toolDigest.toUpperCase() }] },
      { ...good, grants: [{ ...someGrant, effects: 'harmless' }] },
      { ...good, grants: [{ ...someGrant, timeout_s: 0 }] },
    ];
    for (const payload of wrong) expect(refusal(sign(payload)), JSON.stringify(payload)).to.equal('bad_payload');
  });

  it('with more orders than 500, or over 512 KiB', () => {
    const orders = Array.from({ length: 501 }, (_, i) => ({
      ...good.orders[0],
      task_id: `01890000-0000-7000-8000-${i.toString().padStart(12, '0')}`,
    }));
    expect(refusal(sign({ ...good, orders }))).to.equal('bad_payload');
    expect(refusal(sign({ ...good, orders: orders.slice(1) }))).to.equal(undefined);
    expect(refusal(`${goodJws}${'A'.repeat(jwsMaxBytes)}`)).to.equal('too_large');
  });
});

describe('task_sha256', () => {
  it('changes with each of the nine members, and not with the approvals', () => {
    const base = taskSha256(someGrant, 'a'.repeat(64));
    const changed = [
      taskSha256(someGrant, 'b'.repeat(64)),
      ...Object.entries({
        tool: 'x',
        tool_digest: `sha256:${'0'.repeat(64)}`,
        action: 'x',
        effects: 'destructive',
        timeout_s: 31,
        scope: 'x',
        requested_by: 'x',
        required_role: 'x',
      }).map(([name, value]) => taskSha256({ ...someGrant, [name]: value }, 'a'.repeat(64))),
    ];
    expect(new Set([base, ...changed]).size).to.equal(10);
    const approved = { ...someGrant, approvals: [{ by: 'x', decision_id: node }] };
    expect(taskSha256(approved, 'a'.repeat(64))).to.equal(base);
  });
});
