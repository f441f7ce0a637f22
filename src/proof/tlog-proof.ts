/** The C2SP tlog-proof text: that one record is in the log, to be checked by whoever has a policy. */

import { decodeBase64, decodeHash } from './base64.ts';
import { ProofError, prove } from './proof-error.ts';

const firstLine = 'c2sp.org/tlog-proof@v1';
/** A path through a tree of under 2^53 leaves has at most so many hashes. */
const hashesMax = 53;

export interface TlogProof {
  index: number;
  /** From the leaf's sibling up to the root's child. */
  hashes: readonly Uint8Array[];
  /** Signed note, verbatim. */
  checkpoint: string;
  /** Opaque and not authenticated; Writ puts the record's line here. */
  extra?: Uint8Array;
}

/** Text of a proof; files of it end in `.tlog-proof`. */
export function formatTlogProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  const lines = [firstLine];
  if (extra !== undefined) lines.push(`extra ${Buffer.from(extra).toString('base64')}`);
  lines.push(`index ${index.toString()}`);
  for (const hash of hashes) lines.push(Buffer.from(hash).toString('base64'));
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** Reads a proof; nothing in it is believed yet. */
export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n');
  prove(end >= 0, 'bad_tlog_proof', 'a proof without a checkpoint');
  const lines = text.slice(0, end).split('\n');
  prove(lines.shift() === firstLine, 'bad_tlog_proof', 'not a proof of this version');
  const extraLine = lines[0]?.startsWith('extra ') === true ? lines.shift() : undefined;
  const digits = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '')?.[1];
  const index = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(index)) throw new ProofError('bad_tlog_proof', 'no index');
  prove(lines.length <= hashesMax, 'bad_tlog_proof', 'a path longer than any tree is deep');
  return {
    index,
    hashes: lines.map(decodeHash),
    checkpoint: text.slice(end + 2),
    ...(extraLine === undefined ? {} : { extra: decodeBase64(extraLine.slice('extra '.length)) }),
  };
}
