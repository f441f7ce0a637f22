/** Decides which operating system account PostgreSQL runs as, since it refuses to run as root. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { FatalError } from '../../../domain/error.ts';
import type { Binaries } from './binaries.ts';

const run = promisify(execFile);

/** How to start a program as that account. */
export interface Account {
  /** Owner to give files to; undefined where this process's own account does. */
  owner?: { uid: number; gid: number };
  /** Words to put before the program and its arguments. */
  prefix: string[];
  /** For `spawn`. */
  ids: { uid?: number; gid?: number };
}

/** No variable of this process reaches PostgreSQL: neither secrets nor `PG…` settings. */
export const CLEAN_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

const NAME = 'postgres';
/** Tells whether the program runs and the folder is reachable, in the way that matters: by trying. */
const PROBE = '"$1" --version && cd "$2"';

/**
 * The account for a server with its data under `dataDir`. A normal user is its own; root uses the account `postgres`, made if
 * missing. Where that account cannot get to the programs or the data (a clone in /root, a data folder of mode 0700), it is given
 * the one capability that lets it pass: to search and read, or where the container does not have that, to override modes.
 * Fails `FatalError` with what to do.
 */
export async function chooseAccount(binaries: Binaries, dataDir: string): Promise<Account> {
  if (process.getuid?.() !== 0) return { prefix: [], ids: {} };
  const owner = await postgresIds();
  const candidates: Account[] = [
    { owner, prefix: [], ids: owner },
    { owner, prefix: withCapability(owner, 'dac_read_search'), ids: {} },
    { owner, prefix: withCapability(owner, 'dac_override'), ids: {} },
  ];
  for (const account of candidates) {
    if (await works(account, binaries, dataDir)) return account;
  }
  throw new FatalError(await unreachableText(owner, [dirname(binaries.postgres), dataDir]));
}

async function postgresIds(): Promise<{ uid: number; gid: number }> {
  const known = await lookUp();
  if (known !== undefined) return known;
  const flags = ['--system', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin'];
  await run('useradd', [...flags, NAME], { env: CLEAN_ENVIRONMENT }).catch((error: unknown) => {
    throw new FatalError(
      `PostgreSQL does not run as root and the account "${NAME}" is missing and cannot be made: make it (useradd --system ${NAME}), ` +
        'or run this as a normal user',
      error,
    );
  });
  const made = await lookUp();
  if (made === undefined) throw new FatalError(`the account "${NAME}" was made and is not there`);
  return made;
}

async function lookUp(): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, NAME], { env: CLEAN_ENVIRONMENT })).stdout)),
    );
    return uid === undefined || gid === undefined ? undefined : { uid, gid };
  } catch {
    return undefined;
  }
}

/**
 * `no_setuid_fixup`: without it access(2), by which PostgreSQL looks for its own program, leaves capabilities out of account. The
 * program that is started gets the ambient set and nothing else.
 */
function withCapability(owner: { uid: number; gid: number }, capability: string): string[] {
  const ids = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  const capabilities = [
    `--inh-caps=-all,+${capability}`,
    `--ambient-caps=+${capability}`,
    `--bounding-set=-all,+${capability}`,
  ];
  return ['setpriv', ...ids, '--securebits=+no_setuid_fixup', ...capabilities, '--'];
}

async function works(account: Account, binaries: Binaries, dataDir: string): Promise<boolean> {
  const words = [...account.prefix, 'sh', '-c', PROBE, 'sh', binaries.postgres, dataDir];
  try {
    await run(words[0] ?? 'sh', words.slice(1), { ...account.ids, env: CLEAN_ENVIRONMENT, cwd: '/', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

async function unreachableText(owner: { uid: number; gid: number }, paths: readonly string[]): Promise<string> {
  const closed = new Set<string>();
  for (const path of paths) {
    for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
      const { uid, gid, mode } = await stat(folder);
      const bit = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
      if ((mode & bit) === 0) closed.add(folder);
    }
  }
  if (closed.size > 0) {
    const folders = [...closed].sort().join(' ');
    return (
      `PostgreSQL runs as the account "${NAME}", which cannot pass through ${folders}, and setpriv (util-linux) cannot ` +
      `let it: run "chmod o+x ${folders}", or keep program and data elsewhere, or run this as a normal user`
    );
  }
  return (
    `this process may not start programs as the account "${NAME}" (uid ${owner.uid}), as which PostgreSQL has to run: ` +
    'run it as a normal user'
  );
}
