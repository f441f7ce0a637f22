/** Checkpoints (C2SP tlog-checkpoint): the text of a signed note that states a log's size and root. */

import { decodeHash } from './base64.ts';
import { ProofError } from './proof-error.ts';
import { holdRule } from './rule.ts';

export interface Checkpoint {
  origin: string;
  /** Number of leaves. */
  size: number;
  /** Root hash over them, 32 bytes. */
  root: Buffer;
}

/** The text that is signed: three lines, each with its line feed. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size.toString()}\n${root.toString('base64')}\n`;
}

/** Reads the text of a checkpoint: exactly three lines, no extensions (rule 24). */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n');
  holdRule(lines.length === 4 && lines[3] === '', 24, 'a checkpoint has exactly three lines');
  const [origin = '', digits = '', root = ''] = lines;
  if (origin === '') throw new ProofError('bad_checkpoint', 'a checkpoint without an origin');
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(digits) || !Number.isSafeInteger(Number(digits))) {
    throw new ProofError('bad_checkpoint', 'the size of a checkpoint is a number from 0');
  }
  return { origin, size: Number(digits), root: decodeHash(root) };
}
