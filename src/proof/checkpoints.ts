/** The checkpoints of a bundle: who signed them, and whether the tree of the records has their roots (rules 19, 24, 27). */

import { parseCheckpointLine, type BundleHeader } from './bundle.ts';
import { decodeText, type LineReader } from './lines.ts';
import { parseNote, type SignedNote, type VerifierKey } from './note.ts';
import { checkCheckpoint, type CheckedCheckpoint, type Policy } from './policy.ts';
import { Contradiction, locate } from './report.ts';
import { holdRule } from './rule.ts';
import type { CompactRange } from './tree.ts';
import type { TrustedKeys } from './trust.ts';

const member = 'checkpoints.jsonl';

/** Owns the earlier checkpoints, and which keys of the log are believed so far. */
export class Checkpoints {
  readonly #lines: LineReader;
  readonly #header: BundleHeader;
  readonly #policy: Policy;
  readonly #trusted: TrustedKeys;
  #next: { checkpoint: CheckedCheckpoint } | undefined;
  /** Size of the last checkpoint whose root fits; the start of the bundle before there was one. */
  #fits: number;
  /** Records before this are covered by a checkpoint that was believed. */
  #covered = 0;
  #lastSize: number;
  #count = 0;

  constructor(lines: LineReader, header: BundleHeader, policy: Policy, trusted: TrustedKeys) {
    this.#lines = lines;
    this.#header = header;
    this.#policy = policy;
    this.#trusted = trusted;
    this.#fits = header.from;
    this.#lastSize = header.from;
  }

  /** How many earlier checkpoints were checked. */
  get count(): number {
    return this.#count;
  }

  /** Size at which the tree is to be compared next. */
  get nextSize(): number {
    return this.#next?.checkpoint.size ?? Infinity;
  }

  /** The keys of the policy, and those that records trust which a believed checkpoint covers (rule 19). */
  logKeys(): VerifierKey[] {
    return [...this.#policy.logs, ...this.#trusted.logKeys(this.#covered)];
  }

  /** Reads the next checkpoint, which must lie between the last one and the end. */
  async read(): Promise<void> {
    try {
      const line = await this.#lines.next();
      if (line === undefined) {
        this.#next = undefined;
        return;
      }
      const { size, note } = parseCheckpointLine(decodeText(line));
      const checkpoint = checkCheckpoint(parseNote(note), this.#policy, this.logKeys());
      holdRule(checkpoint !== undefined, 24, 'a checkpoint that no trusted key of the log signed');
      holdRule(checkpoint.size === size, 27, 'size is not that of the note');
      holdRule(checkpoint.origin === this.#header.log, 24, 'a checkpoint of another log');
      holdRule(size > this.#lastSize, 27, 'sizes do not ascend from that of the bundle');
      holdRule(size < this.#header.size, 27, 'a checkpoint beyond that of the bundle');
      this.#lastSize = size;
      this.#next = { checkpoint };
    } catch (error) {
      throw locate({ member, line: this.#lines.line }, error);
    }
  }

  /** Compares the tree with the checkpoint of its size, and reads the next. */
  async check(tree: CompactRange): Promise<void> {
    if (this.#next === undefined) return;
    this.compare(tree, this.#next.checkpoint.root, 'earlier');
    this.#covered = tree.size;
    this.#count++;
    await this.read();
  }

  /** Refuses a tree with another root: what is bad lies in the interval since the last checkpoint that fits (rule 32). */
  compare(tree: CompactRange, root: Buffer, which: 'earlier' | 'final' | 'remembered'): void {
    const found = tree.root();
    if (!found.equals(root)) {
      throw new Contradiction({
        member: this.#header.size === this.#header.from ? 'bundle.json' : 'records.jsonl',
        seq: this.#fits,
        last_seq: Math.max(this.#fits, tree.size - 1),
        rule: 32,
        expected: `root ${root.toString('base64')} of the ${which} checkpoint of size ${tree.size.toString()}`,
        // Hashes before the bundle are as good as what follows them: nothing but the root tells which of them is bad.
        found: `root ${found.toString('base64')}${this.#isPrefixOpen() ? ', from prefix and records' : ''}`,
      });
    }
    this.#fits = tree.size;
  }

  #isPrefixOpen(): boolean {
    return this.#header.from > 0 && this.#fits === this.#header.from;
  }

  /** The checkpoint of the bundle, once all records were read: signed by a key that is believed by then. */
  checkFinal(note: SignedNote): CheckedCheckpoint {
    try {
      const checkpoint = checkCheckpoint(note, this.#policy, this.logKeys());
      holdRule(checkpoint !== undefined, 24, 'signed by no key of the policy, nor by one that it makes believed');
      return checkpoint;
    } catch (error) {
      throw locate({ member: 'checkpoint' }, error);
    }
  }
}
