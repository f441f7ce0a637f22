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
    const key = `${nodeId} ${bootId}`;
    let through = this.#through.get(key) ?? -1;
    for (const seq of await readReceiptSeqs(this.#database, nodeId, bootId, through)) {
      if (seq !== through + 1) break;
      through = seq;
    }
    if (this.#through.size >= bootsMax) this.#through.clear();
    this.#through.set(key, through);
    return through;
  }
}
