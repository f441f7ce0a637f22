/** Folders for what a test writes. */
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MEMORY = '/dev/shm';
/** Containers have a small one by default, too small for databases. */
const ROOM_BYTES = 2 * 1024 ** 3;

/** A new folder of mode 0700, in memory where there is room: PostgreSQL makes many small files, which some disks are slow at. */
export async function makeScratchFolder(prefix: string): Promise<string> {
  return mkdtemp(join(await scratchParent(), prefix));
}

/** Where such folders lie. */
export async function scratchParent(): Promise<string> {
  const { bavail, bsize } = await statfs(MEMORY).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= ROOM_BYTES ? MEMORY : tmpdir();
}
