/** The highest attempt of each task that this node has taken: for a week, and for so many tasks at most. */

const keptS = 7 * 86_400;
const tasksMax = 250_000;
const entryBytes = 24;
const chunkEntries = 40_000;

/** What is forgotten is let go of when it is at least so much, and half of all. */
const trimMin = 1024;

interface Seen {
  taskId: string;
  attempt: number;
  /** Seconds since the epoch; the manifest's `exp`. */
  atS: number;
}

/** The oldest go first where there are too many. */
export class SeenAttempts {
  readonly #tasks = new Map<string, Seen>();
  /**
   * As they were taken, from `#oldest` on. What a task was taken as before it was taken again stays in between, for nothing. The map knows this
   * order too, and steps over all that was deleted since it last grew to find its first entry.
   */
  #order: Seen[] = [];
  #oldest = 0;

  highest(taskId: string): number {
    return this.#tasks.get(taskId)?.attempt ?? 0;
  }

  add(taskId: string, attempt: number, atS: number): void {
    if (attempt <= this.highest(taskId)) return;
    const seen = { taskId, attempt, atS };
    this.#tasks.set(taskId, seen);
    this.#order.push(seen);
    this.#forget(atS - keptS);
  }

  #forget(beforeS: number): void {
    for (let oldest = this.#order[this.#oldest]; oldest !== undefined; oldest = this.#order[++this.#oldest]) {
      if (!this.#isLast(oldest)) continue;
      if (this.#tasks.size <= tasksMax && oldest.atS >= beforeS) break;
      this.#tasks.delete(oldest.taskId);
    }
    if (this.#oldest < trimMin || this.#oldest < this.#order.length / 2) return;
    this.#order = this.#order.slice(this.#oldest);
    this.#oldest = 0;
  }

  #isLast(seen: Seen): boolean {
    return this.#tasks.get(seen.taskId) === seen;
  }

  /** Chunks of entries of 24 bytes: task id (16), attempt (uint32), time (uint32), big-endian. */
  encode(): Buffer[] {
    const entries = this.#order.slice(this.#oldest).filter((seen) => this.#isLast(seen));
    const chunks: Buffer[] = [];
    for (let from = 0; from < entries.length; from += chunkEntries) {
      const part = entries.slice(from, from + chunkEntries);
      const bytes = Buffer.allocUnsafe(part.length * entryBytes);
      part.forEach(({ taskId, attempt, atS }, i) => {
        bytes.write(taskId.replaceAll('-', ''), i * entryBytes, 'hex');
        bytes.writeUInt32BE(attempt, i * entryBytes + 16);
        bytes.writeUInt32BE(atS, i * entryBytes + 20);
      });
      chunks.push(bytes);
    }
    return chunks;
  }

  decode(bytes: Buffer): void {
    for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
      const hex = bytes.toString('hex', at, at + 16);
      const taskId = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
      this.add(taskId, bytes.readUInt32BE(at + 16), bytes.readUInt32BE(at + 20));
    }
  }
}
