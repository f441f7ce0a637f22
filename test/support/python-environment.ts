/** A Python that has the packages of a requirements file, for tests of programs in Python. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isExecutable } from '../../scripts/services/programs.ts';
import { makePythonEnvironment } from '../../scripts/services/python-package.ts';

const run = promisify(execFile);
const CACHE = fileURLToPath(new URL('../../.cache/python', import.meta.url));

/** Path of its interpreter. Installs once for each content of the file; two at a time do no harm. Fails where it cannot. */
export async function pythonWith(requirementsPath: string): Promise<string> {
  const { stdout: version } = await run('python3', ['--version']);
  const text = await readFile(requirementsPath);
  const name = createHash('sha256').update(version).update(text).digest('hex').slice(0, 16);
  const python = join(CACHE, name, 'bin/python');
  if (isExecutable(python)) return python;
  await mkdir(CACHE, { recursive: true });
  const partial = await mkdtemp(join(CACHE, 'partial-'));
  try {
    await makePythonEnvironment(join(partial, 'environment'), ['--require-hashes', '-r', requirementsPath]);
    // Whoever is second finds the folder there, with the same in it.
    await rename(join(partial, 'environment'), join(CACHE, name)).catch(() => undefined);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  return python;
}
