/** The fence: tells a log that goes on from one that was set back, by the mark that is kept outside. */

import type { Mark, MarkValue } from '../domain/mark.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { readHead, readLastCheckpoint } from './log-sql.ts';
import { MissingLeafError, readRoot } from './subtree-reader.ts';

/** Why nothing may be signed or dispatched; stable codes. */
export type FenceReason = 'log_shorter_than_mark' | 'log_differs_from_mark' | 'mark_missing' | 'mark_unavailable';

export class FencedError extends Error {
  readonly reason: FenceReason;

  constructor(reason: FenceReason, message: string) {
    super(message);
    this.name = 'FencedError';
    this.reason = reason;
  }
}

/**
 * Compares the mark with the log: the root over the log's first `mark.size` leaves must be the mark's. Answers the mark;
 * undefined for a log that never had a checkpoint. Throws FencedError where the log is not the one that the mark knows.
 */
export async function checkFence(db: Queryable, mark: Mark): Promise<MarkValue | undefined> {
  const value = await mark.read().catch((error: unknown) => {
    throw new FencedError('mark_unavailable', `The mark of the log cannot be read: ${messageOf(error)}`);
  });
  if (value === undefined) {
    if ((await readLastCheckpoint(db)) === undefined) return undefined;
    throw new FencedError(
      'mark_missing',
      'The log has checkpoints, but its mark is missing. Put the mark file back, or start with a fresh data folder.',
    );
  }
  const size = (await readHead(db))?.size ?? 0;
  if (size < value.size) {
    throw new FencedError(
      'log_shorter_than_mark',
      `The log has ${size.toString()} records, but ${value.size.toString()} were signed: the database is an earlier copy.`,
    );
  }
  if ((await rootOf(db, value.size)) !== value.root) {
    throw new FencedError(
      'log_differs_from_mark',
      'The log differs from what was signed: the database is another one.',
    );
  }
  return value;
}

/** Base64 of the root over the first `size` leaves; undefined where some of them are gone. */
async function rootOf(db: Queryable, size: number): Promise<string | undefined> {
  try {
    return (await readRoot(db, size)).toString('base64');
  } catch (error) {
    if (error instanceof MissingLeafError) return undefined;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
