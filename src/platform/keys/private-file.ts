/** Files that only their owner may read, made once and whole however many processes start at the same time. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '../../domain/error.ts';

/** Keys and certificates are far smaller; whatever is larger is another file. */
const privateFileMaxBytes = 64 * 1024;

/** The code that Node gives an error of the operating system; undefined for other errors. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * The text of a file that nobody but its owner may read or write; undefined where there is none. Fails `invalid` for a
 * file that others can open, for a symbolic link, and for what is no file; `unavailable` where it cannot be read.
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw badFile(`${path} is a symbolic link. Give the path of the file itself.`);
    throw unreadable(path, error);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > privateFileMaxBytes) throw badFile(`${path} is not a key file.`);
    if ((stat.mode & 0o077) !== 0) {
      throw new AppError('invalid', `Others than its owner can open ${path}. Run: chmod 600 ${path}`, {
        reason: 'key_file_exposed',
      });
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/**
 * Makes a file with all of its text, synced to disk, unless one is there: then nothing happens and false is answered.
 * Nobody ever sees a part of it, and of several processes one wins.
 */
export async function createWholeFile(path: string, text: string, mode: 0o600 | 0o644): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    await writeSynced(temporary, text, mode);
    // Unlike rename, link never replaces what is there.
    await link(temporary, path);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw new AppError('unavailable', `${path} cannot be made.`, { reason: 'key_file_unavailable' }, error);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  await syncDirectory(dirname(path));
  return true;
}

/** Writes a new file and waits until the disk has it. Fails where one is there. */
export async function writeSynced(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Waits until the disk has the directory's names: without it, a new file may be gone after a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function badFile(message: string): AppError {
  return new AppError('invalid', message, { reason: 'key_file_invalid' });
}

function unreadable(path: string, cause: unknown): AppError {
  return new AppError('unavailable', `${path} cannot be read.`, { reason: 'key_file_unavailable' }, cause);
}
