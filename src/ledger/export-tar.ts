/** A bundle as one tar: plain ustar, regular files at the top (formats.md rule 30). */

import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BundleExport } from './export.ts';
import { formatTarHeader, tarBlockBytes } from './tar-header.ts';

const chunkBytes = 256 * 1024;

/**
 * Bytes of the tar. A header tells a member's size before its bytes, so each member goes through a file first: counting
 * in a pass of its own would read the database twice, and could count what is pruned before the second pass. The files
 * are in a folder of their own in `spoolDir`, which goes with the reader.
 */
export async function* toTar(bundle: BundleExport, spoolDir = tmpdir()): AsyncGenerator<Buffer> {
  const folder = await mkdtemp(join(spoolDir, 'writ-export-'));
  try {
    for (const member of bundle.members) {
      const path = join(folder, member);
      const size = await spool(bundle.open(member), path);
      yield formatTarHeader(member, size, bundle.created);
      yield* createReadStream(path, { highWaterMark: chunkBytes }) as AsyncIterable<Buffer>;
      yield Buffer.alloc((tarBlockBytes - (size % tarBlockBytes)) % tarBlockBytes);
      await rm(path);
    }
    yield Buffer.alloc(2 * tarBlockBytes);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes a member to a file of its own; answers its size. */
async function spool(chunks: AsyncIterable<Buffer>, path: string): Promise<number> {
  const file = await open(path, 'wx', 0o600);
  try {
    let size = 0;
    for await (const chunk of chunks) {
      await file.writeFile(chunk);
      size += chunk.length;
    }
    return size;
  } finally {
    await file.close();
  }
}
