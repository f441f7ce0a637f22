/** Manifests and receipts as a bundle carries them: in the order of the records that first name them (rules 18 and 27). */

import { parseEvidenceLine, type EvidenceLine } from './bundle.ts';
import { Column } from './column.ts';
import { sha256Hex } from './hash.ts';
import { HexTable } from './hex-table.ts';
import { decodeText, type LineReader } from './lines.ts';
import { at, Contradiction, locate } from './report.ts';
import { holdRule } from './rule.ts';

const present = 0;
const absent = 1;
const pruned = 2;
/** Of manifests that were void before they were issued: their bytes need not be kept. */
const notKept = 3;

/** A hash that a record named; `number` counts the hashes of a member in the order in which they were named. */
export interface TakenEvidence {
  number: number;
  isFirst: boolean;
  jws?: string;
  place?: { member: string; line: number };
}

/** Owns one member's lines, and what was named and found so far. */
export class Evidence {
  readonly #member: string;
  readonly #lines: LineReader;
  readonly #named = new HexTable(8);
  readonly #state = new Column();
  #next: EvidenceLine | undefined;
  #isAtEnd = false;
  #found = 0;

  constructor(member: string, lines: LineReader) {
    this.#member = member;
    this.#lines = lines;
  }

  /** Whether `take` can answer without reading on. */
  get isReady(): boolean {
    return this.#next !== undefined || this.#isAtEnd;
  }

  /** Reads the next line; refuses one whose hash is not that of its JWS. */
  async read(): Promise<void> {
    try {
      const line = await this.#lines.next();
      if (line === undefined) {
        this.#isAtEnd = true;
        return;
      }
      const evidence = parseEvidenceLine(decodeText(line));
      const found = sha256Hex(evidence.jws);
      const place = { member: this.#member, line: this.#lines.line };
      if (found !== evidence.sha256) throw new Contradiction({ ...place, rule: 21, expected: evidence.sha256, found });
      this.#next = evidence;
    } catch (error) {
      throw locate({ member: this.#member, line: this.#lines.line }, error);
    }
  }

  /** Names a hash by a record: answers its JWS where this is the first record to name it and the bytes are there. */
  take(sha256: string, mayBeAbsent = false): TakenEvidence {
    const before = this.#named.size;
    const number = this.#named.add(sha256);
    if (number < before) return { number, isFirst: false };
    if (this.#next?.sha256 !== sha256) {
      this.#state.set(number, mayBeAbsent ? notKept : absent);
      return { number, isFirst: true };
    }
    const { jws } = this.#next;
    this.#next = undefined;
    this.#state.set(number, present);
    this.#found++;
    return { number, isFirst: true, jws, place: { member: this.#member, line: this.#lines.line } };
  }

  /** Takes note that a hash was pruned, if it is one of this member's. */
  prune(sha256: string): boolean {
    const number = this.#named.find(sha256);
    if (number < 0) return false;
    if (this.#state.get(number) === absent) this.#state.set(number, pruned);
    return true;
  }

  /** Refuses what no record names, or names elsewhere; answers what there was. */
  async finish(): Promise<{ found: number; absent: number; pruned: number }> {
    if (!this.isReady) await this.read();
    at({ member: this.#member, line: this.#lines.line }, () => {
      holdRule(this.#next === undefined, 27, 'a line that no record names, or not in the order of the records');
    });
    const counts = { found: this.#found, absent: 0, pruned: 0 };
    for (let number = 0; number < this.#state.length; number++) {
      if (this.#state.get(number) === absent) counts.absent++;
      if (this.#state.get(number) === pruned) counts.pruned++;
    }
    return counts;
  }
}
