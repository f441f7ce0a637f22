/** Bundles on disk as the verifier reads them: a directory, a tar, or a compressed tar. */

import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import type { BundleSource } from '../proof/bundle-source.ts';
import { ProofError } from '../proof/proof-error.ts';
import { holdRule } from '../proof/rule.ts';
import { indexTar, type TarMember } from './tar-index.ts';

const chunkBytes = 256 * 1024;

/** Opens a bundle by what is at the path. Fails with the error of the file system where there is nothing to read. */
export async function openBundle(path: string): Promise<BundleSource> {
  const status = await stat(path);
  if (status.isDirectory()) return directorySource(path);
  return tarSource(path, await isGzip(path));
}

function directorySource(path: string): BundleSource {
  return {
    members: async () => {
      const entries = await readdir(path, { withFileTypes: true });
      for (const entry of entries) holdRule(entry.isFile(), 30, 'a member that is not a regular file');
      return entries.map((entry) => entry.name);
    },
    chunks: (member) =>
      createReadStream(join(path, member), { highWaterMark: chunkBytes }) as AsyncIterable<Uint8Array>,
  };
}

/** Reads the headers once; each member then is a stretch of the file, or of what it decompresses to. */
function tarSource(path: string, isCompressed: boolean): BundleSource {
  let members: readonly TarMember[] = [];
  return {
    members: async () => {
      members = await indexTar(isCompressed ? decompressed(path) : stretch(path, 0, Infinity));
      return members.map(({ name }) => name);
    },
    chunks: (name) => {
      const member = members.find((known) => known.name === name);
      if (member === undefined || member.size === 0) return stretch(path, 0, 0);
      const { offset, size } = member;
      return isCompressed ? cut(decompressed(path), offset, size) : stretch(path, offset, size);
    },
  };
}

async function* stretch(path: string, offset: number, size: number): AsyncGenerator<Uint8Array> {
  if (size === 0) return;
  const options = { start: offset, end: offset + size - 1, highWaterMark: chunkBytes };
  yield* createReadStream(path, options) as AsyncIterable<Uint8Array>;
}

async function* decompressed(path: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: chunkBytes });
  const gunzip = createGunzip({ chunkSize: chunkBytes });
  file.on('error', (error) => gunzip.destroy(error));
  try {
    yield* file.pipe(gunzip) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const isZlib = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
    throw isZlib ? new ProofError('rule_30', 'a compressed file that is damaged') : error;
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

async function* cut(chunks: AsyncIterable<Uint8Array>, offset: number, size: number): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const chunk of chunks) {
    const from = Math.max(0, offset - at);
    const to = Math.min(chunk.length, offset + size - at);
    if (from < to) yield chunk.subarray(from, to);
    at += chunk.length;
    if (at >= offset + size) return;
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}
