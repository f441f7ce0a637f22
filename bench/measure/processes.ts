/** What processes of this machine have used, from /proc. */

import { readdir, readFile } from 'node:fs/promises';

/** proc_pid_stat(5): times are in clock ticks, a hundred a second on Linux. */
const msPerTick = 10;

interface Stat {
  parent: number;
  /** Its own time, and that of the children that it has waited for. */
  ms: number;
}

/** Processes by what they are called in a table. */
export type Processes = Readonly<Record<string, readonly number[]>>;

/** User and system time so far, milliseconds, by name; what descends from a process is its own, what has ended included. */
export async function cpuMs(processes: Processes): Promise<Record<string, number>> {
  const stats = await readStats();
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of stats) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const treeMs = (pid: number): number =>
    (stats.get(pid)?.ms ?? 0) + (children.get(pid) ?? []).reduce((sum, child) => sum + treeMs(child), 0);
  return Object.fromEntries(
    Object.entries(processes).map(([name, pids]) => [name, pids.reduce((sum, pid) => sum + treeMs(pid), 0)]),
  );
}

/** Memory that a process holds (resident set), MiB. */
export async function rssMb(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** Ids of the processes whose command line is it; words are separated by a space. */
export async function pidsOf(isIt: (command: string) => boolean): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await allPids()) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (isIt(command.replaceAll('\0', ' '))) found.push(pid);
  }
  return found;
}

async function readStats(): Promise<Map<number, Stat>> {
  const stats = new Map<number, Stat>();
  for (const pid of await allPids()) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // After the name in brackets come state and parent; 11 to 14 are user and system time, its own and its children's.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields.length < 15) continue;
    const ticks = fields.slice(11, 15).reduce((sum, text) => sum + Number(text), 0);
    stats.set(pid, { parent: Number(fields[1]), ms: ticks * msPerTick });
  }
  return stats;
}

async function allPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
}
