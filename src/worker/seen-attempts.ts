/** The highest attempt of each task that this node has taken: for a week, and for so many tasks at most. */

const keptS = 7 * 86_400;
const tasksMax = 250_000;
const entryBytes = 24;
const chunkEntries = 40_000;

interface Seen {
  attempt: number;
  /** Seconds since the epoch; the manifest's `exp`. */
  atS: number;
}

/** The oldest go first where there are too many. */
export class SeenAttempts {
  readonly #tasks = new Map<string, Seen>();

  highest(taskId: string): number {
    return this.#tasks.get(taskId)?.attempt ?? 0;
  }

  add(taskId: string, attempt: number, atS: number): void {
    if (attempt <= this.highest(taskId)) return;
    this.#tasks.delete(taskId);
    this.#tasks.set(taskId, { attempt, atS });
    for (const [oldest, seen] of this.#tasks) {
      if (this.#tasks.size <= tasksMax && seen.atS >= atS - keptS) break;
      this.#tasks.delete(oldest);
    }
  }

  /** Chunks of entries of 24 bytes: task id (16), attempt (uint32), time (uint32), big-endian. */
  encode(): Buffer[] {
    const entries = [...this.#tasks];
    const chunks: Buffer[] = [];
    for (let from = 0; from < entries.length; from += chunkEntries) {
      const part = entries.slice(from, from + chunkEntries);
      const bytes = Buffer.allocUnsafe(part.length * entryBytes);
      part.forEach(([taskId, { attempt, atS }], i) => {
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
