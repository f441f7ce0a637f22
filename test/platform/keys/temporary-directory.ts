/** Directories for tests that write files. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Calls with the path of a new directory and removes it afterwards, whatever happened. */
export async function withDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const { directory, remove } = await makeDirectory();
  try {
    return await use(directory);
  } finally {
    await remove();
  }
}

/** A new directory that the caller removes. */
export async function makeDirectory(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-test-'));
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}
