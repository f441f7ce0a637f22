/** Numbers and chains what was committed into the inbox: the only writer of the log. */

import type { Database } from '../platform/postgres/pool.ts';
import { completeRecord, leafHash } from '../proof/record.ts';
import { readHead, readInbox, sequenceRecords, type LogHead } from './log-sql.ts';

/** Records in one round at most. */
const roundMax = 4096;

/** Records that are in the log now. */
export interface Sequenced {
  /** `seq` of the first. */
  from: number;
  lines: Buffer[];
  leaves: Buffer[];
}

/**
 * Belongs to one term of leadership: every write is fenced by it, and by the head that it chains onto. A round whose commit
 * failed or is in doubt makes the next one read the head again.
 */
export class Sequencer {
  readonly #database: Database;
  readonly #term: number;
  readonly #onSequenced: (sequenced: Sequenced) => void;
  #head: LogHead | undefined;

  constructor(options: { database: Database; term: number; onSequenced: (sequenced: Sequenced) => void }) {
    this.#database = options.database;
    this.#term = options.term;
    this.#onSequenced = options.onSequenced;
  }

  /** One round. True where more may wait. Not to be called concurrently with itself. */
  async runOnce(): Promise<boolean> {
    const rows = await readInbox(this.#database, roundMax);
    if (rows.length === 0) return false;
    const head = this.#head ?? (await readHead(this.#database));
    if (head === undefined) throw new Error('the log has not been opened');
    this.#head = undefined;
    const lines: Buffer[] = [];
    const leaves: Buffer[] = [];
    let { leaf } = head;
    for (const row of rows) {
      const text = completeRecord(row, leaf.toString('base64'), head.size + lines.length, row.at.toISOString());
      const line = Buffer.from(text, 'utf8');
      leaf = leafHash(line);
      lines.push(line);
      leaves.push(leaf);
    }
    await sequenceRecords(this.#database, { term: this.#term, head, pos: rows.map(({ pos }) => pos), leaves, lines });
    this.#head = { ...head, size: head.size + lines.length, leaf };
    this.#onSequenced({ from: head.size, lines, leaves });
    return rows.length === roundMax;
  }
}
