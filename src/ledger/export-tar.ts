/** A bundle as one tar: plain ustar, regular files at the top (formats.md rule 30). */

import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BundleExport } from './export.ts';

const blockBytes = 512;
const chunkBytes = 256 * 1024;
/** Sizes from here on do not fit eleven octal digits: they are written in binary, as GNU and POSIX tars both read them. */
const octalEnd = 8 ** 11;

/**
 * Bytes of the tar. A header tells a member's size before its bytes, so each member goes through a file first: counting
 * in a pass of its own would read the database twice, and could count what is pruned before the second pass.
 */
export async function* toTar(bundle: BundleExport): AsyncGenerator<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-export-'));
  try {
    for (const member of bundle.members) {
      const path = join(folder, member);
      const size = await spool(bundle.open(member), path);
      yield formatHeader(member, size, bundle.created);
      yield* createReadStream(path, { highWaterMark: chunkBytes }) as AsyncIterable<Buffer>;
      yield Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
      await rm(path);
    }
    yield Buffer.alloc(2 * blockBytes);
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

/** POSIX.1-1988 §10.1.1: the header of a regular file. */
function formatHeader(name: string, size: number, modified: Date): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0, 100, 'ascii');
  block.write('0000644\0', 100, 'ascii');
  block.write('0000000\0', 108, 'ascii');
  block.write('0000000\0', 116, 'ascii');
  writeSize(block, size);
  block.write(`${octal(Math.floor(modified.getTime() / 1000), 11)}\0`, 136, 'ascii');
  block.write('        0', 148, 'ascii');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'ascii');
  return block;
}

function writeSize(block: Buffer, size: number): void {
  if (size < octalEnd) {
    block.write(`${octal(size, 11)}\0`, 124, 'ascii');
    return;
  }
  block[124] = 0x80;
  block.writeBigUInt64BE(BigInt(size), 128);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
