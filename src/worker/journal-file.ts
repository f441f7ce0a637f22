/** An append-only file of checked entries: what was written before a sync is there after a crash, whole or not at all. */

import { open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { FatalError } from '../domain/error.ts';
import { createBatcher, type Batcher } from '../platform/batch.ts';

/** One entry: a kind and its bytes. On disk: uint32 big-endian length of what follows the checksum, uint32 CRC-32, kind, bytes. */
export interface JournalEntry {
  kind: number;
  bytes: Buffer;
}

/** An entry to be written: its bytes may stand in several places, which do not change until they are on disk. */
export interface NewEntry {
  kind: number;
  parts: readonly Buffer[];
}

const headerBytes = 8;
/** Entries are messages at most: larger lengths are damage. */
const entryMaxBytes = 64 * 1024 * 1024;

interface Write {
  entries: readonly NewEntry[];
  isSynced: boolean;
}

/**
 * Owns the file. Appends that arrive while a write is in flight share the next one and its sync. After a failed write nothing
 * more is written: the caller must stop, since what is on disk is not known.
 */
export class JournalFile {
  readonly #path: string;
  readonly #batcher: Batcher<Write, undefined>;
  #file: FileHandle;
  #size: number;
  #failure: Error | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, size: number) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.#batcher = createBatcher({
      maxItems: 4096,
      maxPending: 200_000,
      run: (writes) => this.#serial(() => this.#write(writes)),
    });
  }

  /** Opens or creates the file and answers its entries; what a crash left half written at the end is cut off. */
  static async open(path: string): Promise<{ journal: JournalFile; entries: JournalEntry[] }> {
    const file = await open(path, 'a+', 0o600);
    try {
      const { entries, size } = decodeEntries(await readFile(path));
      await file.truncate(size);
      await syncFolder(path);
      return { journal: new JournalFile(path, file, size), entries };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Bytes on disk. */
  get size(): number {
    return this.#size;
  }

  /** Appends entries; resolves when they are on disk, synced. */
  async append(entries: readonly NewEntry[]): Promise<void> {
    await this.#batcher.add({ entries, isSynced: true });
  }

  /** Appends entries that may be lost in a crash of the machine; resolves when they are written. */
  async note(entries: readonly NewEntry[]): Promise<void> {
    await this.#batcher.add({ entries, isSynced: false });
  }

  /**
   * Replaces the file's content, whole or not at all. The snapshot is taken between two writes; what waits to be written comes
   * after it, so the reader of the file must bear an entry that tells what the snapshot tells already.
   */
  rewrite(snapshot: () => readonly NewEntry[]): Promise<void> {
    return this.#serial(async () => {
      const next = await open(`${this.#path}.next`, 'w', 0o600);
      const size = await writeEntries(next, snapshot());
      await next.sync();
      await next.close();
      await rename(`${this.#path}.next`, this.#path);
      await syncFolder(this.#path);
      const file = await open(this.#path, 'a', 0o600);
      await this.#file.close();
      this.#file = file;
      this.#size = size;
    });
  }

  async close(): Promise<void> {
    await this.#batcher.idle();
    await this.#file.close();
  }

  /** One write or rewrite after the other. */
  #serial<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(work, work);
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #write(writes: Write[]): Promise<undefined[]> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#size += await writeEntries(
        this.#file,
        writes.flatMap(({ entries }) => entries),
      );
      if (writes.some(({ isSynced }) => isSynced)) await this.#file.datasync();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error('a write failed');
      throw this.#failure;
    }
    return writes.map(() => undefined);
  }
}

/** Writes entries at the end of a file and answers how many bytes they are. Messages are in these, which may be large: nothing is copied. */
async function writeEntries(file: FileHandle, entries: readonly NewEntry[]): Promise<number> {
  if (entries.length === 0) return 0;
  const pieces = entries.flatMap((entry) => [headOf(entry), ...entry.parts]);
  const size = bytesIn(pieces);
  const { bytesWritten } = await file.writev(pieces);
  // Written in part: the system says why when the rest is written.
  if (bytesWritten < size) await file.appendFile(Buffer.concat(pieces).subarray(bytesWritten));
  return size;
}

/** What stands before an entry's bytes. */
function headOf({ kind, parts }: NewEntry): Buffer {
  const head = Buffer.allocUnsafe(headerBytes + 1);
  head.writeUInt8(kind, headerBytes);
  const checksum = parts.reduce((sum, part) => crc32(part, sum), crc32(head.subarray(headerBytes)));
  head.writeUInt32BE(1 + bytesIn(parts), 0);
  head.writeUInt32BE(checksum, 4);
  return head;
}

function bytesIn(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Entries up to the first that is not whole, and where it begins. */
function decodeEntries(bytes: Buffer): { entries: JournalEntry[]; size: number } {
  const entries: JournalEntry[] = [];
  let at = 0;
  while (at + headerBytes < bytes.length) {
    const length = bytes.readUInt32BE(at);
    const end = at + headerBytes + length;
    if (length === 0 || length > entryMaxBytes || end > bytes.length) break;
    const body = bytes.subarray(at + headerBytes, end);
    if (crc32(body) !== bytes.readUInt32BE(at + 4)) {
      if (isWhole(bytes, end)) throw damaged();
      break;
    }
    entries.push({ kind: body.readUInt8(0), bytes: body.subarray(1) });
    at = end;
  }
  return { entries, size: at };
}

/** Whether a whole entry begins here. A crash tears the end of the file only: damage before a whole entry is something else. */
function isWhole(bytes: Buffer, at: number): boolean {
  if (at + headerBytes >= bytes.length) return false;
  const length = bytes.readUInt32BE(at);
  const end = at + headerBytes + length;
  // Zeros, which a file that grew may end with, would pass for an entry of no bytes: there is none.
  return (
    length > 0 && end <= bytes.length && crc32(bytes.subarray(at + headerBytes, end)) === bytes.readUInt32BE(at + 4)
  );
}

function damaged(): FatalError {
  return new FatalError(
    'the journal of the node is damaged in its middle: what it has run is not known. Move its data folder away; it joins anew then.',
  );
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  await folder.sync();
  await folder.close();
}
