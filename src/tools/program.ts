/** Finds the program of a catalog entry on this machine. */

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import type { Problem } from '../domain/target.ts';

/** Where a program named without a path is looked for; also the PATH that programs get. Never taken from outside. */
export const searchPath: readonly string[] = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** Programs that would read a parameter as code of their own. */
const shells: ReadonlySet<string> = new Set(
  'sh bash dash ash zsh ksh mksh csh tcsh fish rbash busybox env xargs'.split(' '),
);

export interface FoundProgram {
  /** As it is started: absolute. */
  path: string;
}

/** The program's absolute path, or what is wrong: not there, not executable, or a shell. */
export async function findProgram(program: string): Promise<FoundProgram | Problem> {
  const candidates = isAbsolute(program) ? [program] : searchPath.map((folder) => join(folder, program));
  for (const path of candidates) {
    if (!(await isExecutableFile(path))) continue;
    const real = basename(await realpath(path));
    // Where busybox is the whole system, `uname` leads to it and is still no shell: it acts by the name it is called by.
    if (shells.has(basename(path)) || (real !== 'busybox' && shells.has(real))) {
      return { problem: 'a shell or a starter of other programs is refused: name the program itself' };
    }
    return { path };
  }
  return {
    problem: isAbsolute(program)
      ? 'no executable file at this path on this machine'
      : `no such program in ${searchPath.join(':')} on this machine`,
  };
}

async function isExecutableFile(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
