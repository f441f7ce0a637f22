/** Decides which operating system account a service runs as, so that none runs as root. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** How to start a program as that account. */
export interface ServiceAccount {
  /** Owner to give files to; undefined where this process's own account does. */
  owner?: { uid: number; gid: number };
  /** Words to put before the program and its arguments. */
  prefix: string[];
}

const run = promisify(execFile);
/**
 * To search and read where the account may not: a clone in /root, a folder of mode 0700. `no_setuid_fixup`: without it access(2), by
 * which programs look for their files, leaves capabilities out of account.
 */
const PASS = [
  '--securebits=+no_setuid_fixup',
  '--inh-caps=-all,+dac_read_search',
  '--ambient-caps=+dac_read_search',
  '--bounding-set=-all,+dac_read_search',
];

/** A normal user is its own; root takes the first of `names` that exists. `dir` can be reached from it. Fails saying what to do. */
export async function serviceAccount(names: readonly string[], dir: string): Promise<ServiceAccount> {
  if (process.getuid?.() !== 0) return { prefix: [] };
  const owner = await firstKnown(names);
  const ids = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  for (const capabilities of [[], PASS]) {
    const prefix = ['setpriv', ...ids, ...capabilities, '--'];
    if (await canReach(prefix, dir)) return { owner, prefix };
  }
  throw new Error(
    `${names.join(' and ')} cannot pass through ${dir}, and setpriv (util-linux) cannot let them: choose another folder, or run ` +
      'this as a normal user',
  );
}

async function firstKnown(names: readonly string[]): Promise<{ uid: number; gid: number }> {
  for (const name of names) {
    const ids = await Promise.all(['-u', '-g'].map(async (flag) => run('id', [flag, name]))).catch(() => undefined);
    if (ids !== undefined) return { uid: Number(ids[0]?.stdout), gid: Number(ids[1]?.stdout) };
  }
  throw new Error(`there is no account ${names.join(' or ')} on this machine: run this as a normal user`);
}

async function canReach(prefix: readonly string[], dir: string): Promise<boolean> {
  const words = [...prefix, 'sh', '-c', 'cd "$1"', 'sh', dir];
  return run(words[0] ?? 'sh', words.slice(1), { cwd: '/' }).then(
    () => true,
    () => false,
  );
}
