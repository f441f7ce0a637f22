/** Keeps a bundle that arrives as a tar: as a directory of its members, as the tar, or compressed. */

import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { AppError } from '../domain/error.ts';
import { bundleMembers, trustMember } from '../proof/bundle.ts';
import { ProofError } from '../proof/proof-error.ts';
import { openBundle } from './bundle-source.ts';

/**
 * Writes the bundle to `out`: `NAME.tar`, `NAME.tar.gz` or `NAME.tgz`, else a directory, which is made. What is there
 * already is not touched. `out` appears whole or not at all. Fails `invalid`. `onProgress` is told the bytes so far.
 */
export async function writeBundle(
  tar: AsyncIterable<Uint8Array>,
  out: string,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<void> {
  await refuseExisting(out);
  const partial = `${out}.partial`;
  const partialTar = `${out}.partial.tar`;
  try {
    if (/\.(tar\.gz|tgz)$/.test(out)) {
      await pipeline(counted(tar, onProgress), createGzip(), createWriteStream(partial));
    } else if (out.endsWith('.tar')) {
      await pipeline(counted(tar, onProgress), createWriteStream(partial));
    } else {
      await pipeline(counted(tar, onProgress), createWriteStream(partialTar));
      await unpack(partialTar, partial);
    }
    await rename(partial, out);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error instanceof ProofError
      ? new AppError('invalid', `The server sent no whole bundle: ${error.message}. Export again.`, {}, error)
      : error;
  } finally {
    await rm(partialTar, { force: true });
  }
}

/** One small member of a bundle that arrives as a tar, as text. */
export async function readMember(tarFile: string, member: string, bytesMax: number): Promise<string> {
  const bundle = await openBundle(tarFile);
  await bundle.members();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of bundle.chunks(member)) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new AppError('invalid', `The member ${member} of the bundle is too large.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The server chose the names: only those of the format become files. */
async function unpack(tarFile: string, directory: string): Promise<void> {
  const bundle = await openBundle(tarFile);
  const known: readonly string[] = [...bundleMembers, trustMember];
  const members = await bundle.members();
  await mkdir(directory);
  for (const member of members) {
    if (!known.includes(member)) throw new ProofError('rule_30', 'a member that no bundle has');
    await pipeline(bundle.chunks(member), createWriteStream(join(directory, member), { flags: 'wx' }));
  }
}

async function* counted(
  tar: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of tar) {
    bytes += chunk.length;
    onProgress(bytes);
    yield chunk;
  }
}

async function refuseExisting(out: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(out);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return;
    const said = code === 'ENOTDIR' ? 'is there already' : `cannot be used (${String(code)})`;
    throw new AppError('invalid', `${out} ${said}: choose another place.`, {}, error);
  }
  // rename(2) takes the place of an empty directory.
  if (names.length > 0) throw new AppError('invalid', `${out} is there already and holds files: choose another place.`);
}
