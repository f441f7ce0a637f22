/** Signed notes (C2SP signed-note): text, signatures, and the verifier keys that check them. */

import { decodeBase64 } from './base64.ts';
import { sha256 } from './hash.ts';
import { verifySignature } from './jws.ts';
import { ProofError, prove } from './proof-error.ts';
import { importPublicKey, type PublicKey } from './public-key.ts';
import { holdRule } from './rule.ts';

/** Signature types: a note's own Ed25519 signature, and a witness's timestamped cosignature. */
export const noteSignatureType = 0x01;
export const cosignatureType = 0x04;

export type SignatureType = typeof noteSignatureType | typeof cosignatureType;

/** At most so many signatures are read (rule 24). */
export const signaturesMax = 16;

/** A key that can verify notes. Its name and key id together say which signatures are its. */
export interface VerifierKey {
  name: string;
  /** Eight lower-case hex digits. */
  keyId: string;
  type: SignatureType;
  publicKey: PublicKey;
}

export interface NoteSignature {
  name: string;
  keyId: string;
  signature: Buffer;
}

export interface SignedNote {
  /** With its final line feed. */
  text: string;
  signatures: NoteSignature[];
}

/** Key id: the first four bytes of SHA-256(name ‖ LF ‖ type ‖ public key), as hex. */
export function noteKeyId(name: string, type: number, publicKey: Uint8Array): string {
  const input = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), publicKey]);
  return sha256(input).toString('hex', 0, 4);
}

/** Verifier key text of an Ed25519 key: `<name>+<key id>+<base64(type ‖ public key)>`. */
export function formatVerifierKey(
  name: string,
  publicKey: Uint8Array,
  type: SignatureType = noteSignatureType,
): string {
  checkName(name);
  const material = Buffer.concat([Buffer.of(type), publicKey]).toString('base64');
  return `${name}+${noteKeyId(name, type, publicKey)}+${material}`;
}

/** Reads a verifier key; refuses another key id than its own, and types other than 0x01 and 0x04. */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name, keyId, material] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(text) ?? [];
  if (name === undefined || keyId === undefined || material === undefined) {
    throw new ProofError('bad_verifier_key', 'not a verifier key');
  }
  checkName(name);
  const bytes = decodeBase64(material);
  const type = bytes[0];
  const key = bytes.subarray(1);
  prove(
    (type === noteSignatureType || type === cosignatureType) && key.length === 32,
    'bad_verifier_key',
    'neither an Ed25519 note key nor an Ed25519 cosignature key',
  );
  prove(noteKeyId(name, type, key) === keyId, 'bad_verifier_key', 'the key id is not that of the name and key');
  const publicKey = importPublicKey({ kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') });
  return { name, keyId, type, publicKey };
}

/** A signed note: the text, an empty line, one line for each signature. A type 0x01 signature is over the text itself. */
export function formatNote(text: string, signatures: readonly NoteSignature[]): string {
  prove(text.endsWith('\n'), 'bad_note', 'the text of a note ends with a line feed');
  const lines = signatures.map(({ name, keyId, signature }) => {
    checkName(name);
    return `— ${name} ${Buffer.concat([Buffer.from(keyId, 'hex'), signature]).toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
// eslint-disable-next-line no-control-regex -- these are the characters that a note must not hold
const control = /[\u0000-\u0009\u000b-\u001f]/;

/** Reads a signed note. Nothing in it is believed yet. */
export function parseNote(bytes: Uint8Array | string): SignedNote {
  const whole = typeof bytes === 'string' ? bytes : decode(bytes);
  prove(!control.test(whole) && whole.isWellFormed(), 'bad_note', 'a note holds control characters');
  const end = whole.lastIndexOf('\n\n');
  prove(end >= 0 && whole.endsWith('\n'), 'bad_note', 'a note has a text, an empty line and signatures');
  const lines = whole.slice(end + 2, -1).split('\n');
  prove(lines[0] !== '' && whole.length > end + 2, 'bad_note', 'a note without a signature');
  holdRule(lines.length <= signaturesMax, 24, 'a note has over 16 signatures');
  return { text: whole.slice(0, end + 1), signatures: lines.map(parseSignatureLine) };
}

/**
 * The known keys that signed the note. A known key's wrong signature refuses the whole note with `bad_signature`;
 * signatures of unknown keys are ignored (rule 24).
 */
export function verifyNote(note: SignedNote, keys: readonly VerifierKey[]): VerifierKey[] {
  const signers = new Set<VerifierKey>();
  for (const { name, keyId, signature } of note.signatures) {
    const key = keys.find((known) => known.name === name && known.keyId === keyId);
    if (key === undefined) continue;
    prove(holds(key, note.text, signature), 'bad_signature', `the signature of ${name} does not hold`);
    signers.add(key);
  }
  return [...signers];
}

/** What a cosignature/v1 is over: the time at which the witness saw the checkpoint, and the checkpoint. */
export function cosignedMessage(text: string, timestampS: bigint): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${timestampS.toString()}\n${text}`);
}

function holds(key: VerifierKey, text: string, signature: Buffer): boolean {
  if (key.type === noteSignatureType) return verifySignature(key.publicKey, Buffer.from(text), signature);
  if (signature.length !== 72) return false;
  const timestampS = signature.readBigUInt64BE(0);
  if (timestampS > 2n ** 63n - 1n) return false;
  return verifySignature(key.publicKey, cosignedMessage(text, timestampS), signature.subarray(8));
}

function parseSignatureLine(line: string): NoteSignature {
  const [, name, encoded] = /^— (\S+) (\S+)$/u.exec(line) ?? [];
  if (name === undefined || encoded === undefined) throw new ProofError('bad_note', 'not a signature line');
  checkName(name);
  const bytes = decodeBase64(encoded);
  prove(bytes.length > 4, 'bad_note', 'a signature without bytes');
  return { name, keyId: bytes.toString('hex', 0, 4), signature: bytes.subarray(4) };
}

function checkName(name: string): void {
  prove(/^[^\s+\p{White_Space}]+$/u.test(name) && name.isWellFormed(), 'bad_note', 'not the name of a key');
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ProofError('bad_note', 'a note is UTF-8');
  }
}
