/** Where a verifier reads a bundle from: members by name, as bytes. */

import { prove } from './proof-error.ts';

/** A directory, a tar, or memory. Each member can be read any number of times, several at once. */
export interface BundleSource {
  /** Names of all members; refuses with `rule_30` what no bundle holds. */
  members(): Promise<readonly string[]>;
  /** Bytes of a member, in chunks. */
  chunks(member: string): AsyncIterable<Uint8Array>;
}

/** The whole of a member that is known to be small; refuses with `too_large` one that is not. */
export async function readWhole(source: BundleSource, member: string, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source.chunks(member)) {
    bytes += chunk.length;
    prove(bytes <= bytesMax, 'too_large', 'a member is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
