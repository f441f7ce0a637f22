/** The proof that the log trusts a key: from a real log it holds, and whatever else is sent in its place does not. */

import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { formatCheckpoint } from '../../src/proof/checkpoint.ts';
import { verifyKeyProof } from '../../src/proof/key-proof.ts';
import { formatNote, formatVerifierKey, noteKeyId } from '../../src/proof/note.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import { completeRecord, firstPrev, leafHash, recordParts, type RecordBody } from '../../src/proof/record.ts';
import { formatTlogProof, parseTlogProof } from '../../src/proof/tlog-proof.ts';
import { startKeyLog, type KeyLog } from '../ledger/key-log.ts';
import { ed25519Key, p256Key, rawPublicKey, type TestKey } from './keys.ts';

const first = p256Key(1);
const second = p256Key(2);
const node = ed25519Key(3);

/** The code with which a proof is refused. */
function refusal(text: string, vkey: string): string {
  try {
    verifyKeyProof(text, vkey);
  } catch (error) {
    if (error instanceof ProofError) return error.code;
    throw error;
  }
  throw new Error('not refused');
}

describe('the proof that a real log trusts a key', () => {
  let keys: KeyLog;
  let vkey: string;
  let proof: string;

  before(async () => {
    keys = await startKeyLog();
    ({ vkey } = keys.log);
    await keys.trust(first);
    await keys.log.grow(20);
    await keys.trust(node, 'node');
    await keys.trust(second);
    await keys.retire(first);
    await keys.sign();
    proof = await keys.proofOf(second);
  });
  after(() => keys.log.drop());

  it('holds, and tells the key and its use', async () => {
    const found = verifyKeyProof(proof, vkey);
    expect({ kid: found.key.kid, use: found.use }).to.deep.equal({ kid: second.kid, use: 'manifest' });
    expect(verifyKeyProof(await keys.proofOf(first), vkey).key.kid).to.equal(first.kid);
    expect(verifyKeyProof(await keys.proofOf(node), vkey)).to.include({ use: 'node' });
  });

  it('holds under a later checkpoint too', async () => {
    await keys.append({ type: 'log.heartbeat', outcome: 'success' });
    await keys.sign();
    const later = await keys.proofOf(second);
    expect(later).to.not.equal(proof);
    expect(verifyKeyProof(later, vkey).key.kid).to.equal(second.kid);
  });

  it('is refused where it is of another log, and under the verifier key of another log', async () => {
    const other = await startKeyLog();
    try {
      await other.trust(second);
      await other.sign();
      const theirs = await other.proofOf(second);
      expect(verifyKeyProof(theirs, other.log.vkey).key.kid).to.equal(second.kid);
      expect(refusal(theirs, vkey)).to.equal('bad_signature');
      expect(refusal(proof, other.log.vkey)).to.equal('bad_signature');
    } finally {
      await other.log.drop();
    }
  });

  it('is refused under a verifier key of the same log with another key in it', () => {
    const forged = formatVerifierKey(keys.log.origin, rawPublicKey(ed25519Key(9)));
    expect(refusal(proof, forged)).to.equal('bad_signature');
    expect(refusal(proof, 'no verifier key')).to.equal('bad_verifier_key');
    expect(refusal(proof, vkey.replace('+', '-'))).to.be.a('string');
  });

  it('is refused where the checkpoint is signed by somebody else under the log’s name', () => {
    const mallory = ed25519Key(9);
    const { checkpoint, ...rest } = parseTlogProof(proof);
    const text = checkpoint.slice(0, checkpoint.lastIndexOf('\n\n') + 1);
    const signature = { name: keys.log.origin, signature: mallory.signOne(Buffer.from(text)) };
    const ownId = noteKeyId(keys.log.origin, 1, rawPublicKey(mallory));
    for (const keyId of [ownId, vkey.split('+')[1] ?? '']) {
      const forged = formatTlogProof({ ...rest, checkpoint: formatNote(text, [{ ...signature, keyId }]) });
      expect(refusal(forged, vkey)).to.equal('bad_signature');
    }
  });

  it('is refused where the record is altered, also by one bit that nobody would see', () => {
    const parsed = parseTlogProof(proof);
    const line = Buffer.from(parsed.extra ?? []).toString();
    for (const altered of [
      line.replace(second.kid, first.kid),
      line.replace('"manifest"', '"log"'),
      line.replace('success', 'failure'),
      `${line} `,
      `${line}\n`,
      line.replace(':', ': '),
      '',
    ]) {
      expect(refusal(formatTlogProof({ ...parsed, extra: Buffer.from(altered) }), vkey)).to.equal('bad_inclusion');
    }
  });

  it('is refused where its place is another one', () => {
    const parsed = parseTlogProof(proof);
    for (const index of [0, parsed.index - 1, parsed.index + 1, parsed.index + 2 ** 20, Number.MAX_SAFE_INTEGER]) {
      expect(refusal(formatTlogProof({ ...parsed, index }), vkey)).to.equal('bad_inclusion');
    }
    for (const index of ['-1', '1.0', '01', '1e1', '9007199254740993', '']) {
      expect(refusal(proof.replace(/^index .*$/m, `index ${index}`), vkey)).to.equal('bad_tlog_proof');
    }
  });

  it('is refused where its path is another one', async () => {
    const parsed = parseTlogProof(proof);
    const other = parseTlogProof(await keys.proofOf(first));
    for (const hashes of [
      [],
      parsed.hashes.slice(1),
      parsed.hashes.slice(0, -1),
      [...parsed.hashes, Buffer.alloc(32)],
      [...parsed.hashes].reverse(),
      other.hashes,
    ]) {
      expect(refusal(formatTlogProof({ ...parsed, hashes }), vkey)).to.equal('bad_inclusion');
    }
    const deep = Array<Buffer>(54).fill(Buffer.alloc(32));
    expect(refusal(formatTlogProof({ ...parsed, hashes: deep }), vkey)).to.equal('bad_tlog_proof');
  });

  it('is refused without the record, and without anything', () => {
    const { extra: _, ...rest } = parseTlogProof(proof);
    expect(refusal(formatTlogProof(rest), vkey)).to.equal('bad_inclusion');
    expect(refusal('', vkey)).to.equal('bad_tlog_proof');
  });

  it('is refused where the record is of another type: a retirement, a beginning, a sign of life', async () => {
    for (const type of ['key.retire', 'node.register', 'log.heartbeat']) {
      const { rows } = await keys.log.database.query<{ seq: number }>(
        'select seq from audit_log where type = $1 order by seq limit 1',
        [type],
      );
      if (rows[0] === undefined) {
        const kid = second.kid;
        const seq = await keys.append({ type, outcome: 'success', data: { kid, jwk: second.jwk, use: 'manifest' } });
        await keys.sign();
        expect(refusal(await keys.proofAt(seq), vkey)).to.equal('bad_record');
      } else {
        expect(refusal(await keys.proofAt(rows[0].seq), vkey)).to.equal('bad_record');
      }
    }
  });

  it('is refused wherever it is cut off', () => {
    for (let length = 0; length < proof.length; length++) {
      expect(refusal(proof.slice(0, length), vkey), length.toString()).to.be.a('string');
    }
  });

  it('is refused, or says the same, whatever bytes are changed in it', () => {
    const { key, use } = verifyKeyProof(proof, vkey);
    const change = fc.record({
      at: fc.nat(proof.length - 1),
      text: fc.oneof(fc.string(), fc.constant('')),
      cut: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let text = proof;
        for (const { at, text: put, cut } of changes) text = text.slice(0, at) + put + text.slice(at + cut);
        try {
          const found = verifyKeyProof(text, vkey);
          expect([found.key.kid, found.use]).to.deep.equal([key.kid, use]);
        } catch (error) {
          if (!(error instanceof ProofError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** Logs that nobody runs: each of one record, signed by the key that is pinned. */
describe('the proof of a record that no log should have', () => {
  const origin = 'test.example/log';
  const logKey = ed25519Key(1);
  const vkey = formatVerifierKey(origin, rawPublicKey(logKey));
  const data = { kid: second.kid, jwk: second.jwk, use: 'manifest', from: '2026-01-01T00:00:00.000Z' };

  function signed(line: string, { name = origin, checkpointOrigin = origin, index = 0 } = {}, by = logKey): string {
    const text = formatCheckpoint({ origin: checkpointOrigin, size: 1, root: leafHash(line) });
    const keyId = noteKeyId(name, 1, rawPublicKey(by));
    const checkpoint = formatNote(text, [{ name, keyId, signature: by.signOne(Buffer.from(text)) }]);
    return formatTlogProof({ index, hashes: [], checkpoint, extra: Buffer.from(line) });
  }

  function lineOf(over: Partial<RecordBody> = {}, seq = 0): string {
    const id = '00000000-0000-7000-8000-000000000001';
    const body = { v: 1, log: origin, id, type: 'key.trust', outcome: 'success', data, ...over } as RecordBody;
    return completeRecord(recordParts(body), firstPrev, seq, '2026-01-01T00:00:00.000Z');
  }

  /** Written past the checks that the log itself makes. */
  function unchecked(members: Record<string, unknown>): string {
    const record = JSON.parse(lineOf()) as { data: Record<string, unknown> };
    return canonicalize({ ...record, data: { ...record.data, ...members } } as CanonicalValue);
  }

  it('holds where there is nothing wrong with it', () => {
    expect(verifyKeyProof(signed(lineOf()), vkey).key.kid).to.equal(second.kid);
  });

  const other = (key: TestKey): Record<string, unknown> => ({ jwk: key.jwk });
  const refused: [what: string, proof: () => string, code: string][] = [
    ['under a checkpoint of another log', () => signed(lineOf(), { checkpointOrigin: 'other.example' }), 'bad_origin'],
    ['of another log', () => signed(lineOf({ log: 'other.example' })), 'bad_record'],
    ['of another place', () => signed(lineOf({}, 7)), 'bad_record'],
    ['behind the end of the log', () => signed(lineOf(), { index: 1 }), 'bad_inclusion'],
    ['of another type', () => signed(lineOf({ type: 'key.trusted' })), 'bad_record'],
    ['with another key than its thumbprint', () => signed(unchecked(other(first))), 'rule_11'],
    ['with a private key', () => signed(unchecked({ jwk: { ...second.jwk, d: 'x' } })), 'bad_key'],
    ['with no key', () => signed(unchecked({ jwk: undefined })), 'bad_key'],
    ['with a symmetric key', () => signed(unchecked({ jwk: { kty: 'oct', k: 'AAAA' } })), 'bad_key'],
    ['that is no canonical JSON', () => signed(`${lineOf()} `), 'not_canonical'],
    ['that is no record', () => signed('{}'), 'rule_5'],
    ['that is nothing', () => signed(''), 'not_json'],
    ['signed by a key of another name', () => signed(lineOf(), { name: 'other.example' }), 'bad_signature'],
  ];
  for (const [what, proof, code] of refused) {
    it(`is refused: ${what}`, () => {
      expect(refusal(proof(), vkey)).to.equal(code);
    });
  }

  it('is refused: a key whose use is not said, or is no text', () => {
    for (const use of [undefined, 7, ['manifest'], { manifest: true }]) {
      expect(refusal(signed(unchecked({ use })), vkey)).to.equal('rule_11');
    }
  });
});
