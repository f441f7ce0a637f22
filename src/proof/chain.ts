/** The records of a bundle as a chain: each line canonical, in its place, and named by the next (rules 5, 6 and 32). */

import type { BundleHeader } from './bundle.ts';
import { decodeHashes } from './bundle.ts';
import { canonicalize } from './canonical-json.ts';
import { decodeText, parseLine, type LineReader } from './lines.ts';
import { checkRecord, firstPrev, leafHash, type AuditRecord } from './record.ts';
import { Contradiction, locate, type FirstBad } from './report.ts';
import { holdRule } from './rule.ts';
import { CompactRange } from './tree.ts';

const member = 'records.jsonl';

interface Link {
  record: AuditRecord;
  leaf: Buffer;
  /** Base64 of `leaf`: what the next record's `prev` must be. */
  name: string;
}

/**
 * Owns the reading of records.jsonl. A record is handed out once the next one named its hash: whoever reads a record
 * from here knows that it is not the first bad one of rule 32.
 */
export class RecordChain {
  /** Over all records handed out so far, and those before the bundle. */
  readonly tree: CompactRange;
  readonly #lines: LineReader;
  readonly #header: BundleHeader;
  /** Root of the final checkpoint. */
  readonly #root: Buffer;
  #seq: number;
  #held: Link | undefined;
  #isStarted = false;

  constructor(lines: LineReader, header: BundleHeader, root: Buffer) {
    this.#lines = lines;
    this.#header = header;
    this.#root = root;
    this.#seq = header.from;
    this.tree = new CompactRange(header.from, decodeHashes(header.prefix));
  }

  /** The next record, undefined after the last. Fails with a Contradiction at the first bad one. */
  async next(): Promise<AuditRecord | undefined> {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#held = await this.#read();
      if (this.#held !== undefined) await this.#checkFirst(this.#held);
    }
    const link = this.#held;
    if (link === undefined) return undefined;
    const next = await this.#read();
    if (next !== undefined && next.record.prev !== link.name) throw await this.#blame(link, next);
    this.tree.append(link.leaf);
    this.#held = next;
    return link.record;
  }

  async #read(): Promise<Link | undefined> {
    const seq = this.#seq;
    const place = { member, line: seq - this.#header.from + 1, seq };
    try {
      const line = this.#lines.take() ?? (await this.#lines.next());
      const { size } = this.#header;
      if (line === undefined) {
        if (seq === size) return undefined;
        const expected = `records up to ${(size - 1).toString()}`;
        throw new Contradiction({ ...place, rule: 31, expected, found: 'the end of the member' });
      }
      if (seq >= size) {
        throw new Contradiction({ ...place, rule: 26, expected: 'the end of the member', found: 'another record' });
      }
      const record = checkRecord(parseLine(line));
      this.#checkPlace(record, place);
      const leaf = leafHash(line);
      this.#seq++;
      return { record, leaf, name: leaf.toString('base64') };
    } catch (error) {
      throw locate(place, error);
    }
  }

  #checkPlace(record: AuditRecord, place: Pick<FirstBad, 'member' | 'line' | 'seq'>): void {
    if (record.seq !== place.seq) {
      const expected = `record ${String(place.seq)}`;
      throw new Contradiction({ ...place, rule: 5, expected, found: `record ${record.seq.toString()}` });
    }
    holdRule(record.log === this.#header.log, 5, 'a record of another log');
  }

  /** The first record names the one before it: nothing before record 0; a leaf of the prefix where it ends in one. */
  async #checkFirst(first: Link): Promise<void> {
    const { from, prefix } = this.#header;
    const expected = from === 0 ? firstPrev : from % 2 === 1 ? prefix.at(-1) : undefined;
    if (expected === undefined || first.record.prev === expected) return;
    const isNamed = from > 0 && (await this.#peekPrev()) === first.name;
    const place = isNamed ? { member: 'bundle.json', line: 1 } : { member, line: 1, seq: from };
    const [right, wrong] = isNamed ? [first.record.prev, expected] : [expected, first.record.prev];
    throw new Contradiction({ ...place, rule: from === 0 ? 6 : 32, expected: right, found: wrong });
  }

  /**
   * Which of two records is bad where the second does not name the hash of the first: the second too where the third
   * does not name it either, or where it is the last and the signed root fits with the right name in its place.
   */
  async #blame(first: Link, second: Link): Promise<Contradiction> {
    const third = second.record.seq + 1 < this.#header.size ? await this.#peekPrev() : this.#prevOfRoot(first, second);
    const isSecond = third !== second.name;
    const { seq } = isSecond ? second.record : first.record;
    const [expected, found] = isSecond ? [first.name, second.record.prev] : [second.record.prev, first.name];
    return new Contradiction({ member, line: seq - this.#header.from + 1, seq, rule: 32, expected, found });
  }

  async #peekPrev(): Promise<unknown> {
    try {
      const line = await this.#lines.next();
      return line === undefined ? undefined : (JSON.parse(decodeText(line)) as { prev?: unknown } | null)?.prev;
    } catch {
      return undefined;
    }
  }

  /** Stands in for the name that a record after the last would give. */
  #prevOfRoot(first: Link, last: Link): string | undefined {
    const right = leafHash(canonicalize({ ...last.record, prev: first.name }));
    const tree = new CompactRange(this.tree.size, this.tree.hashes);
    tree.append(first.leaf);
    tree.append(right);
    return tree.root().equals(this.#root) ? undefined : last.name;
  }
}
