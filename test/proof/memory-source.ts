/** A bundle in memory. */

import type { BundleSource } from '../../src/proof/bundle-source.ts';
import type { Members } from './log-builder.ts';

/** Hands members out in chunks of `chunkBytes`, so that lines break across them. */
export function memorySource(members: Members, chunkBytes = 4096): BundleSource {
  return {
    members: () => Promise.resolve([...members.keys()]),
    chunks: (member) => chunksOf(members.get(member) ?? Buffer.alloc(0), chunkBytes),
  };
}

// eslint-disable-next-line @typescript-eslint/require-await -- chunks are read as if from a disk
async function* chunksOf(bytes: Buffer, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
