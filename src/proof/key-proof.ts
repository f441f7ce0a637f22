/** Proves that the log trusts a key: the record that says so is in a tree that the log's own key has signed. */

import { parseCanonical } from './canonical-json.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { parseNote, parseVerifierKey, verifyNote } from './note.ts';
import { prove } from './proof-error.ts';
import { importPublicKey, type PublicKey } from './public-key.ts';
import { checkRecord, leafHash } from './record.ts';
import { parseTlogProof } from './tlog-proof.ts';
import { verifyInclusion } from './tree-proof.ts';

/**
 * Verifies a C2SP tlog-proof whose `extra` is the line of a `key.trust` record of the log with this verifier key, and answers the
 * key with its use. Throws a ProofError; every byte of the proof is controlled by whoever sent it.
 */
export function verifyKeyProof(text: string, vkey: string): { key: PublicKey; use: string } {
  const proof = parseTlogProof(text);
  const note = parseNote(proof.checkpoint);
  const signer = parseVerifierKey(vkey);
  prove(verifyNote(note, [signer]).length === 1, 'bad_signature', 'a checkpoint that the log has not signed');
  const checkpoint = parseCheckpoint(note.text);
  prove(checkpoint.origin === signer.name, 'bad_origin', 'a checkpoint of another log');
  const line = Buffer.from(proof.extra ?? []).toString('utf8');
  prove(
    verifyInclusion(leafHash(line), proof.index, checkpoint.size, proof.hashes, checkpoint.root),
    'bad_inclusion',
    'a record that is not in the tree',
  );
  const record = checkRecord(parseCanonical(line));
  prove(record.log === checkpoint.origin && record.seq === proof.index, 'bad_record', 'a record of another place');
  prove(record.type === 'key.trust', 'bad_record', 'a record that trusts no key');
  const { jwk, kid, use } = record.data ?? {};
  const key = importPublicKey(jwk);
  prove(key.kid === kid, 'bad_record', 'a key under another thumbprint than its own');
  prove(typeof use === 'string', 'bad_record', 'a key without a use');
  return { key, use };
}
