/** How far the receipts of each boot have arrived without a gap. */

import type { Database } from '../platform/postgres/pool.ts';
import { readReceiptSeqs } from './fleet-sql.ts';

const bootsMax = 20_000;

/** Keeps the last answer for each boot in memory and reads on from there. */
export class ReceiptsThrough {
  readonly #database: Database;
  readonly #through = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** The last `seq` up to which there is no gap; -1 where not even the first has arrived. */
  async find(nodeId: string, bootId: string): Promise<number> {
    const after = this.known(nodeId, bootId);
    return this.take(nodeId, bootId, after, await readReceiptSeqs(this.#database, nodeId, bootId, after));
  }

  /** The boot that was asked for longest ago is read anew when it is asked for again. */
  #forgetOldest(): void {
    const [oldest] = this.#through.keys();
    if (oldest !== undefined) this.#through.delete(oldest);
  }

  /** As `find` answered last. */
  known(nodeId: string, bootId: string): number {
    return this.#through.get(`${nodeId} ${bootId}`) ?? -1;
  }

  /** As `find`, from the numbers beyond `after` that have arrived, ascending. */
  take(nodeId: string, bootId: string, after: number, seqs: readonly number[]): number {
    let through = after;
    for (const seq of seqs) {
      if (seq !== through + 1) break;
      through = seq;
    }
    const key = `${nodeId} ${bootId}`;
    if (through < 0) return through;
    this.#through.delete(key);
    this.#through.set(key, through);
    if (this.#through.size > bootsMax) this.#forgetOldest();
    return through;
  }
}
