/** The highest attempt of each task that this node has taken: for a week, and for so many tasks at most. */

const keptS = 7 * 86_400;
const tasksMax = 250_000;
const entryBytes = 24;
const chunkEntries = 40_000;

/** Words of an entry: four of the task's id, its attempt (0 where the task was taken again since), seconds since the epoch. */
const entryWords = 6;
const attemptAt = 4;
const timeAt = 5;
const capacityMin = 1024;
/** Where the digits of each word stand in a UUID. */
const digitsAt = [
  [0, 1, 2, 3, 4, 5, 6, 7],
  [9, 10, 11, 12, 14, 15, 16, 17],
  [19, 20, 21, 22, 24, 25, 26, 27],
  [28, 29, 30, 31, 32, 33, 34, 35],
] as const;

/**
 * The oldest go first where there are too many. All of it is in two arrays of numbers, which the garbage collector does not look into: a node that
 * runs much has the most of its memory here.
 *
 * Entries are a ring, in the order in which they were taken. The table finds them by a task's id: a power of two of places, at least twice
 * as many as entries, each with the position of an entry plus one, or zero; what finds its place taken goes to the next.
 */
export class SeenAttempts {
  #entries = new Uint32Array(capacityMin * entryWords);
  #table = new Int32Array(capacityMin * 2);
  /** Entries from here on, to before `#end`, are in the ring: positions that go on over its end. */
  #first = 0;
  #end = 0;
  #tasks = 0;
  /** The id that is looked for. */
  readonly #id = new Uint32Array(4);

  /** Zero for none. `taskId`: a UUID in lower-case text; the caller vouches for its form. */
  highest(taskId: string): number {
    this.#read(taskId);
    const at = (this.#table[this.#find()] ?? 0) - 1;
    return at < 0 ? 0 : this.#word(at, attemptAt);
  }

  /** `taskId` as for `highest`; `atS`: seconds since the epoch, the manifest's `exp`. */
  add(taskId: string, attempt: number, atS: number): void {
    this.#read(taskId);
    this.#add(attempt, atS);
  }

  #add(attempt: number, atS: number): void {
    const known = (this.#table[this.#find()] ?? 0) - 1;
    if (attempt <= (known < 0 ? 0 : this.#word(known, attemptAt))) return;
    if (known < 0) this.#tasks++;
    else this.#setWord(known, attemptAt, 0);
    if (this.#end - this.#first === this.#capacity) this.#rebuild();
    const at = this.#end++ & (this.#capacity - 1);
    this.#entries.set(this.#id, at * entryWords);
    this.#setWord(at, attemptAt, attempt);
    this.#setWord(at, timeAt, atS);
    this.#table[this.#find()] = at + 1;
    this.#forget(atS - keptS);
  }

  get #capacity(): number {
    return this.#entries.length / entryWords;
  }

  #word(at: number, word: number): number {
    return this.#entries[at * entryWords + word] ?? 0;
  }

  #setWord(at: number, word: number, value: number): void {
    this.#entries[at * entryWords + word] = value;
  }

  #read(uuid: string): void {
    for (let word = 0; word < 4; word++) {
      let value = 0;
      for (const at of digitsAt[word] ?? []) value = (value << 4) | hexDigit(uuid.charCodeAt(at));
      this.#id[word] = value;
    }
  }

  /** The place in the table where the id is, or would be put. */
  #find(): number {
    const mask = this.#table.length - 1;
    let place = placeOf(this.#id, 0, mask);
    for (;;) {
      const at = (this.#table[place] ?? 0) - 1;
      if (at < 0 || this.#isAt(at)) return place;
      place = (place + 1) & mask;
    }
  }

  #isAt(at: number): boolean {
    for (let word = 0; word < 4; word++) if (this.#word(at, word) !== this.#id[word]) return false;
    return true;
  }

  #forget(beforeS: number): void {
    for (; this.#first < this.#end; this.#first++) {
      const at = this.#first & (this.#capacity - 1);
      if (this.#word(at, attemptAt) === 0) continue;
      if (this.#tasks <= tasksMax && this.#word(at, timeAt) >= beforeS) break;
      this.#id.set(this.#entries.subarray(at * entryWords, at * entryWords + 4));
      this.#takeOut(this.#find());
      this.#tasks--;
    }
  }

  /** Empties a place, and moves those behind it that would not be found any more. */
  #takeOut(place: number): void {
    const mask = this.#table.length - 1;
    let hole = place;
    for (let next = (hole + 1) & mask; this.#table[next] !== 0; next = (next + 1) & mask) {
      const wanted = placeOf(this.#entries, ((this.#table[next] ?? 0) - 1) * entryWords, mask);
      // It may go to the hole where that lies between the place it wants and the one it has.
      if (((next - wanted) & mask) < ((next - hole) & mask)) continue;
      this.#table[hole] = this.#table[next] ?? 0;
      hole = next;
    }
    this.#table[hole] = 0;
  }

  /** Leaves out what was taken again since, and doubles the ring where that gives too little room. */
  #rebuild(): void {
    const before = { entries: this.#entries, first: this.#first, end: this.#end, capacity: this.#capacity };
    const capacity = this.#tasks * 4 > before.capacity * 3 ? before.capacity * 2 : before.capacity;
    const sought = this.#id.slice();
    this.#entries = new Uint32Array(capacity * entryWords);
    this.#table = new Int32Array(capacity * 2);
    this.#first = 0;
    this.#end = 0;
    for (let i = before.first; i < before.end; i++) {
      const from = (i & (before.capacity - 1)) * entryWords;
      if (before.entries[from + attemptAt] === 0) continue;
      const entry = before.entries.subarray(from, from + entryWords);
      this.#entries.set(entry, this.#end * entryWords);
      this.#id.set(entry.subarray(0, 4));
      this.#table[this.#find()] = ++this.#end;
    }
    this.#id.set(sought);
  }

  /** Chunks of entries of 24 bytes: task id (16), attempt (uint32), time (uint32), big-endian. */
  encode(): Buffer[] {
    const chunks: Buffer[] = [];
    for (let left = this.#tasks; left > 0; left -= chunkEntries) {
      chunks.push(Buffer.allocUnsafe(Math.min(left, chunkEntries) * entryBytes));
    }
    let n = 0;
    for (let i = this.#first; i < this.#end; i++) {
      const at = i & (this.#capacity - 1);
      if (this.#word(at, attemptAt) === 0) continue;
      const chunk = chunks[Math.floor(n / chunkEntries)];
      const to = (n++ % chunkEntries) * entryBytes;
      for (let word = 0; word < entryWords; word++) chunk?.writeUInt32BE(this.#word(at, word), to + word * 4);
    }
    return chunks;
  }

  decode(bytes: Buffer): void {
    for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
      for (let word = 0; word < 4; word++) this.#id[word] = bytes.readUInt32BE(at + word * 4);
      this.#add(bytes.readUInt32BE(at + attemptAt * 4), bytes.readUInt32BE(at + timeAt * 4));
    }
  }
}

/** The place that an id, of four words from `at` on, has in a table, unless it is taken. */
function placeOf(words: Uint32Array, at: number, mask: number): number {
  const mixed = Math.imul(
    (words[at] ?? 0) ^ (words[at + 1] ?? 0) ^ (words[at + 2] ?? 0) ^ (words[at + 3] ?? 0),
    0x9e37_79b1,
  );
  return (mixed ^ (mixed >>> 15)) & mask;
}

/** Value of `0` to `9` and `a` to `f`. */
function hexDigit(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}
