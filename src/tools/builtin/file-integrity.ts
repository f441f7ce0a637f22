/** `file.integrity`: hashes files as they are on the node, and compares them with what they should be. */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { isSha256Hex } from '../../proof/hash.ts';
import { ActionFailure } from '../result.ts';
import type { Builtin } from './builtin.ts';
import { invalid, optionalList, optionalText } from './read-parameters.ts';

const filesMax = 1000;
const chunkBytes = 256 * 1024;

interface WantedFile {
  path: string;
  /** Without it the file is only hashed. */
  sha256: string | undefined;
}

interface FileFinding {
  path: string;
  status: 'ok' | 'changed' | 'missing' | 'symlink' | 'not_a_file' | 'unreadable';
  sha256?: string;
  expected_sha256?: string;
  bytes?: number;
  /** Where the folder of the path leads through a symbolic link: the real place. */
  real_path?: string;
}

/** Parameters: `path` and `sha256`, or `files: [{path, sha256}]`. Anything but `ok` fails with `integrity_mismatch`. */
export const fileIntegrity: Builtin = async (parameters, context) => {
  const wanted = readWanted(parameters);
  const findings: FileFinding[] = [];
  for (const file of wanted) {
    context.signal().throwIfAborted();
    findings.push(await examine(file, context.signal()));
  }
  const wrong = findings.filter(({ status }) => status !== 'ok');
  const output = { files: findings, ok: findings.length - wrong.length, not_ok: wrong.length };
  if (wrong.length > 0) {
    const first = wrong[0] === undefined ? '' : `; first ${wrong[0].path}: ${wrong[0].status}`;
    const message = `${wrong.length.toString()} of ${findings.length.toString()} files are not as they should be${first}`;
    throw new ActionFailure('integrity_mismatch', message, { output });
  }
  return { output };
};

function readWanted(parameters: Readonly<Record<string, unknown>>): WantedFile[] {
  const path = optionalText(parameters, 'path');
  const files = optionalList(parameters, 'files');
  if ((path === undefined) === (files === undefined)) throw invalid('path', 'given, or else files');
  if (files === undefined) return [readOne(parameters, 'path')];
  if (files.length === 0 || files.length > filesMax) throw invalid('files', `1 to ${filesMax.toString()} files`);
  return files.map((file, index) => {
    if (typeof file !== 'object' || file === null) throw invalid(`files.${index.toString()}`, 'an object');
    return readOne(file as Record<string, unknown>, `files.${index.toString()}.path`);
  });
}

function readOne(members: Readonly<Record<string, unknown>>, name: string): WantedFile {
  const path = optionalText(members, 'path') ?? '';
  if (!isAbsolute(path) || path.includes('\0') || path.split(sep).includes('..')) {
    throw invalid(name, 'an absolute path without ".."');
  }
  const sha256 = optionalText(members, 'sha256');
  if (sha256 !== undefined && !isSha256Hex(sha256)) throw invalid('sha256', '64 lower-case hex digits');
  return { path, sha256 };
}

/** The last part of the path is never followed: a link where a file should be is itself a finding. */
async function examine(wanted: WantedFile, signal: AbortSignal): Promise<FileFinding> {
  const { path } = wanted;
  let handle: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a pipe would wait for a writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) return { path, status: 'not_a_file' };
    const { sha256, bytes } = await digest(handle, signal);
    const changed = wanted.sha256 !== undefined && wanted.sha256 !== sha256;
    const real = await realpath(path);
    return {
      path,
      status: changed ? 'changed' : 'ok',
      sha256,
      bytes,
      ...(changed ? { expected_sha256: wanted.sha256 } : {}),
      ...(real === path ? {} : { real_path: real }),
    } as FileFinding;
  } catch (error) {
    if (signal.aborted) throw error;
    return { path, status: statusOf(error) };
  } finally {
    await handle?.close();
  }
}

async function digest(handle: FileHandle, signal: AbortSignal): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let bytes = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, chunkBytes, null);
    if (bytesRead === 0) return { sha256: hash.digest('hex'), bytes };
    hash.update(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
  }
}

function statusOf(error: unknown): FileFinding['status'] {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing';
  if (code === 'ELOOP') return 'symlink';
  if (code === 'ENXIO' || code === 'EISDIR') return 'not_a_file';
  return 'unreadable';
}
