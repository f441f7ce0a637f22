/** What was measured on: the machine, the programs, the commit. */

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { hasPackage } from '../systems/available.ts';
import type { Writ } from '../systems/writ.ts';

export interface Machine {
  cores: number;
  cpu: string;
  memory_gib: number;
}

export function machine(): Machine {
  const { length: cores } = cpus();
  return { cores, cpu: cpus()[0]?.model ?? 'unknown', memory_gib: Math.round(totalmem() / 1024 ** 3) };
}

/** The commit that is checked out; `+` says that files differ from it. */
export function commit(): string {
  const git = (...args: string[]): string =>
    output('git', ['-C', fileURLToPath(new URL('../..', import.meta.url)), ...args]);
  const head = git('rev-parse', '--short=12', 'HEAD');
  if (head === '') return 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}+`;
}

/** Of Node.js, Redis and the packages of the peers. */
export async function peerVersions(): Promise<Record<string, string>> {
  const redis = /v=(\S+)/.exec(output('redis-server', ['--version']))?.[1];
  const versions: Record<string, string> = { 'Node.js': process.versions.node, ...(redis && { Redis: redis }) };
  for (const name of ['bullmq', 'graphile-worker', 'pg-boss', 'express', 'passport']) {
    if (!hasPackage(name)) continue;
    const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url));
    versions[name] = (JSON.parse(await readFile(path, 'utf8')) as { version: string }).version;
  }
  return versions;
}

/** Of the parts that an installation runs on. */
export async function partVersions({ database, services }: Writ): Promise<Record<string, string>> {
  const { rows } = await database.query<{ server_version: string }>('show server_version');
  const { managementUrl, managementUser, managementPassword } = services.rabbitMq;
  const authorization = `Basic ${Buffer.from(`${managementUser}:${managementPassword}`).toString('base64')}`;
  const overview = await fetch(`${managementUrl}/api/overview`, { headers: { authorization } });
  const { rabbitmq_version } = (await overview.json()) as { rabbitmq_version?: string };
  return {
    PostgreSQL: rows[0]?.server_version.split(' ')[0] ?? 'unknown',
    RabbitMQ: rabbitmq_version ?? 'unknown',
    OpenBao: /v(\d\S*)/.exec(output(services.openBao.cli.path, ['version']))?.[1] ?? 'unknown',
  };
}

function output(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}
