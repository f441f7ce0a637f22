/** States the log's size and root, signed, about once a second while it grows. */

import type { Mark, MarkValue } from '../domain/mark.ts';
import type { Signer } from '../domain/signer.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { formatCheckpoint } from '../proof/checkpoint.ts';
import { formatNote, parseVerifierKey } from '../proof/note.ts';
import { checkFence } from './fence.ts';
import { insertCheckpoint, readLastCheckpoint, readLeaves } from './log-sql.ts';
import type { Sequenced } from './sequencer.ts';
import { TileBuilder } from './tile-builder.ts';

export interface CheckpointerOptions {
  database: Database;
  term: number;
  origin: string;
  /** Verifier key of the log; its name is the origin. */
  vkey: string;
  signer: Signer;
  mark: Mark;
  onCheckpoint: (checkpoint: { size: number }) => void;
}

/**
 * Belongs to one term of leadership. The order is: tiles, fence, mark, signature, storage. A process that dies between two of
 * these leaves a mark that is ahead of the last checkpoint, never behind it. Where it is not known whether the storage took
 * place, the next round reads what is stored.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #keyId: string;
  #builder: TileBuilder;
  #mark: MarkValue | undefined;
  #signedSize: number;
  #isStoredKnown = true;

  private constructor(options: CheckpointerOptions, builder: TileBuilder, mark: MarkValue | undefined) {
    this.#options = options;
    this.#keyId = parseVerifierKey(options.vkey).keyId;
    this.#builder = builder;
    this.#mark = mark;
    this.#signedSize = builder.size;
  }

  /** Reads where the log stands. Throws FencedError where it is not the one that the mark knows. */
  static async open(options: CheckpointerOptions): Promise<Checkpointer> {
    const mark = await checkFence(options.database, options.mark);
    const size = (await readLastCheckpoint(options.database))?.size ?? 0;
    return new Checkpointer(options, await TileBuilder.load(options.database, size), mark);
  }

  /** Takes records that were chained just now; what it missed is read by `runOnce`. */
  take(sequenced: Sequenced): void {
    if (sequenced.from !== this.#builder.size) return;
    for (const leaf of sequenced.leaves) this.#builder.append(leaf);
  }

  /** Signs what has grown since the last checkpoint; nothing where nothing has. `size` is the log's present size. */
  async runOnce(size: number): Promise<void> {
    if (!this.#isStoredKnown) await this.#reload();
    await this.#catchUp(size);
    if (this.#builder.size === this.#signedSize) return;
    const { database, term, origin, signer } = this.#options;
    const root = this.#builder.root();
    const checkpoint = { origin, size: this.#builder.size, root };
    const tiles = [...this.#builder.tiles];
    await this.#moveMark({ size: checkpoint.size, root: root.toString('base64') });
    const text = formatCheckpoint(checkpoint);
    const [signature] = await signer.sign([Buffer.from(text, 'utf8')]);
    if (signature === undefined) throw new Error('the signer answered no signature');
    const note = formatNote(text, [{ name: origin, keyId: this.#keyId, signature: Buffer.from(signature) }]);
    this.#isStoredKnown = false;
    await insertCheckpoint(database, term, { size: checkpoint.size, root, note }, tiles);
    this.#isStoredKnown = true;
    this.#builder.stored(tiles);
    this.#signedSize = checkpoint.size;
    this.#options.onCheckpoint({ size: checkpoint.size });
  }

  async #reload(): Promise<void> {
    const { database } = this.#options;
    this.#builder = await TileBuilder.load(database, (await readLastCheckpoint(database))?.size ?? 0);
    this.#signedSize = this.#builder.size;
    this.#isStoredKnown = true;
  }

  async #catchUp(size: number): Promise<void> {
    while (this.#builder.size < size) {
      const from = this.#builder.size;
      const leaves = await readLeaves(this.#options.database, from, Math.min(size, from + 10_000));
      if (leaves.length === 0) throw new Error('the log is shorter than its head says');
      if (this.#builder.size !== from) continue;
      for (const leaf of leaves) this.#builder.append(leaf);
    }
  }

  /**
   * Reads the mark before each signature. One that moved meanwhile is compared with the log: it was this leader, whose write
   * was answered with an error; a later leader of this log, whose term shuts this one out; or another log of this origin.
   */
  async #moveMark(next: MarkValue): Promise<void> {
    const { database, mark } = this.#options;
    let current = await mark.read();
    if (current?.size !== this.#mark?.size || current?.root !== this.#mark?.root) {
      current = await checkFence(database, mark);
    }
    const isAhead = next.size > (current?.size ?? 0);
    if (isAhead) await mark.write(current, next);
    this.#mark = isAhead ? next : current;
  }
}
