/** The audit log's high-water mark as files in a directory that lies outside the data folder. */

import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../domain/error.ts';
import type { Mark, MarkValue } from '../../domain/mark.ts';
import { canonicalize, parseCanonical } from '../../proof/canonical-json.ts';
import { sha256Hex } from '../../proof/hash.ts';
import { syncDirectory, systemErrorCode, writeSynced } from './private-file.ts';

/** So many versions stay: a version's name is free again only when the log's mark has moved this often since. */
const versionsKept = 8;

/** One mark as it is kept; its number counts the writes. */
interface StoredMark {
  version: number;
  value: MarkValue;
}

/**
 * Opens the mark of the log `origin`. Each value is a file of its own, `<origin>.<version>`, and the highest version
 * counts: linking the next version into place is the check-and-set, since the file system lets one of many do it. So
 * there is no lock that a killed process could leave behind, and no moment without a whole mark.
 */
export async function openLocalMark(options: { directory: string; origin: string }): Promise<Mark> {
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unavailable(`The directory of the log's mark, ${options.directory}, cannot be made.`, error);
  }
  return new LocalMark(options.directory, options.origin);
}

class LocalMark implements Mark {
  readonly #directory: string;
  readonly #origin: string;
  readonly #name: string;

  constructor(directory: string, origin: string) {
    this.#directory = directory;
    this.#origin = origin;
    this.#name = fileNameOf(origin);
  }

  async read(): Promise<MarkValue | undefined> {
    return (await this.#readHighest())?.value;
  }

  async write(expected: MarkValue | undefined, next: MarkValue): Promise<void> {
    checkValue(next);
    const current = await this.#readHighest();
    if (current?.value.size !== expected?.size || current?.value.root !== expected?.root) throw movedError();
    if (current !== undefined && next.size < current.value.size) {
      throw new AppError('conflict', "The log's mark only moves up.", { reason: 'mark_shrinks' });
    }
    if (next.size === current?.value.size && next.root !== current.value.root) {
      throw new AppError('conflict', "The log's mark has another root for this size.", { reason: 'mark_forks' });
    }
    await this.#append((current?.version ?? 0) + 1, next);
  }

  async #append(version: number, value: MarkValue): Promise<void> {
    const { root, size } = value;
    const path = this.#pathOf(version);
    const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`;
    try {
      await writeSynced(temporary, canonicalize({ log: this.#origin, root, size }), 0o600);
      await this.#link(temporary, path);
      await syncDirectory(this.#directory);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw unavailable(`The log's mark ${path} cannot be written.`, error);
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
    await this.#sweep(version);
  }

  async #link(temporary: string, path: string): Promise<void> {
    try {
      await link(temporary, path);
    } catch (error) {
      const code = systemErrorCode(error);
      // ENOENT: the temporary file was swept, so somebody who was faster has this version.
      if (code === 'EEXIST' || code === 'ENOENT') throw movedError();
      throw error;
    }
  }

  /**
   * Removes what is `versionsKept` older than this version, and what killed writers left. A writer that slept for so
   * long that its version had been swept, and so was free again, has lost: it finds one that far ahead.
   */
  async #sweep(version: number): Promise<void> {
    const files = await this.#list();
    if (files.some((file) => file.isWhole && file.version >= version + versionsKept)) throw movedError();
    const old = files.filter((file) => file.version <= (file.isWhole ? version - versionsKept : version));
    await Promise.all(old.map((file) => unlink(join(this.#directory, file.name)).catch(() => undefined)));
  }

  async #readHighest(): Promise<StoredMark | undefined> {
    // A version that is gone when it is read was swept by a writer who left a higher one: look again.
    for (;;) {
      const versions = (await this.#list()).filter((file) => file.isWhole).map((file) => file.version);
      if (versions.length === 0) return undefined;
      const version = Math.max(...versions);
      const text = await this.#readText(this.#pathOf(version));
      if (text !== undefined) return { version, value: this.#parse(version, text) };
    }
  }

  async #readText(path: string): Promise<string | undefined> {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw unavailable(`The log's mark ${path} cannot be read.`, error);
    }
  }

  async #list(): Promise<{ name: string; version: number; isWhole: boolean }[]> {
    let names: string[];
    try {
      names = await readdir(this.#directory);
    } catch (error) {
      throw unavailable(`The directory of the log's mark, ${this.#directory}, cannot be read.`, error);
    }
    const files = [];
    for (const name of names) {
      if (!name.startsWith(`${this.#name}.`)) continue;
      const match = /^([1-9]\d{0,15})(\.[0-9a-f]{16}\.tmp)?$/.exec(name.slice(this.#name.length + 1));
      if (match !== null) files.push({ name, version: Number(match[1]), isWhole: match[2] === undefined });
    }
    return files;
  }

  #pathOf(version: number): string {
    return join(this.#directory, `${this.#name}.${version.toString()}`);
  }

  #parse(version: number, text: string): MarkValue {
    try {
      const { log, root, size } = parseCanonical(text) as Record<string, unknown>;
      const value = { size, root } as MarkValue;
      if (log !== this.#origin) throw new Error('the mark of another log');
      checkValue(value);
      return value;
    } catch (error) {
      const path = this.#pathOf(version);
      throw new AppError(
        'unavailable',
        `The log's mark ${path} is damaged. Put it back from a copy; until then nothing is signed.`,
        { reason: 'mark_damaged' },
        error,
      );
    }
  }
}

/**
 * The origin with every byte but lower-case letters, digits, `-` and `_` as `%xx`, so that no two origins share a file,
 * not even where the file system minds no case. What would be too long for a name ends in its hash instead.
 */
function fileNameOf(origin: string): string {
  const safe = Array.from(Buffer.from(origin), (byte) => {
    const character = String.fromCharCode(byte);
    return /[a-z0-9_-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }).join('');
  return safe.length <= 180 ? safe : `${safe.slice(0, 100)}~${sha256Hex(origin)}`;
}

const base64Of32Bytes = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

function checkValue({ size, root }: MarkValue): void {
  if (!Number.isSafeInteger(size) || size < 0 || typeof root !== 'string' || !base64Of32Bytes.test(root)) {
    throw new AppError('invalid', 'A mark has a size and the base64 of a root hash.', { reason: 'mark_invalid' });
  }
}

function movedError(): AppError {
  return new AppError('conflict', "Somebody else has moved the log's mark.", { reason: 'mark_moved' });
}

function unavailable(message: string, cause: unknown): AppError {
  return new AppError('unavailable', message, { reason: 'mark_unavailable' }, cause);
}
