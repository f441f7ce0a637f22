/** The job of the quickstart: real checks of this very installation, and two requests that must be refused. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Scope } from '../../domain/scope.ts';
import type { Submission } from '../../domain/task.ts';
import { installed } from '../../app/installed.ts';

/** Files that get a task each; the others share one. */
const singleFiles = 24;

/** What the job may do and where: this machine, over loopback, by the tools that it uses. */
export const quickstartScope: Scope = {
  name: 'quickstart',
  tools: ['file.*', 'tls.*', 'tcp.*', 'dns.*', 'http.*', 'system.*'],
  targets: ['127.0.0.0/8', '::1/128', 'localhost'],
};

/** A submission, and how it is called in the table. */
export interface JobItem {
  label: string;
  task: Submission;
}

/** Submissions that the orchestrator must refuse, with the code that it must give. */
export interface ForbiddenItem extends JobItem {
  expectedCode: string;
}

/** What listens on this machine, for the job to look at. */
export interface JobPlaces {
  /** The API without TLS, where it has such a listener. */
  httpUrl?: string;
  httpsUrl: string;
  /** Further ports by name. */
  ports: readonly (readonly [name: string, port: number])[];
  /** Further listeners that speak TLS, by name. */
  tlsPorts?: readonly (readonly [name: string, port: number])[];
}

const host = '127.0.0.1';

/** The checks, at several priorities. Hashes the installation's files first: the node hashes them again. */
export async function quickstartJob({ httpUrl, httpsUrl, ports, tlsPorts = [] }: JobPlaces): Promise<JobItem[]> {
  const files = await hashInstallation();
  const httpsPort = Number(new URL(httpsUrl).port);
  const reached: (readonly [string, number])[] = [
    ...(httpUrl === undefined ? [] : ([['HTTP API', Number(new URL(httpUrl).port)]] as const)),
    ['HTTPS API', httpsPort],
    ...ports,
    ...tlsPorts,
  ];
  const items: JobItem[] = [
    ...[['the HTTPS API', httpsPort] as const, ...tlsPorts].map(([name, port]) =>
      item(`certificate and protocol of ${name}`, 90, 'tls', 'inspect', { host, port, server_name: 'localhost' }),
    ),
    ...(httpUrl === undefined ? [] : httpProbes(httpUrl)),
    item('readiness over HTTPS', 80, 'http', 'probe', {
      url: `${httpsUrl}/api/v1/ready`,
      expect_status: 200,
      verify_tls: false,
    }),
    ...reached.map(([name, port]) =>
      item(`reach ${name}, port ${port.toString()}`, 70, 'tcp', 'connect', { host, port }),
    ),
    item('look up localhost', 60, 'dns', 'lookup', { name: 'localhost', type: 'A' }),
    item('kernel of the node', 60, 'system', 'uname', {}),
    item('sha256sum of the catalog', 40, 'system', 'sha256sum', {
      files: files.filter(({ path }) => path.endsWith('.yaml')).map(({ path }) => path),
    }),
    ...files
      .slice(0, singleFiles)
      .map((file) => item(`integrity of ${shown(file.path)}`, 50, 'file', 'integrity', { ...file })),
    item(`integrity of ${(files.length - singleFiles).toString()} more files`, 30, 'file', 'integrity', {
      files: files.slice(singleFiles, 1000),
    }),
  ];
  return items;
}

function httpProbes(url: string): JobItem[] {
  return [
    item('readiness over HTTP', 90, 'http', 'probe', { url: `${url}/api/v1/ready`, expect_status: 200 }),
    item('health over HTTP', 80, 'http', 'probe', { url: `${url}/api/v1/health`, method: 'GET', expect_status: 200 }),
  ];
}

/** A target outside of the scope, and an action for which the role is missing. */
export const forbiddenItems: readonly ForbiddenItem[] = [
  {
    ...item('reach 192.0.2.10, which the scope forbids', 50, 'tcp', 'connect', { host: '192.0.2.10', port: 443 }),
    expectedCode: 'scope_target',
  },
  {
    ...item('free disk space, which needs the role fleet-admin', 50, 'system', 'disk_free', { paths: ['/'] }),
    expectedCode: 'role_missing',
  },
];

function item(
  label: string,
  priority: number,
  tool: string,
  action: string,
  payload: Record<string, unknown>,
): JobItem {
  return { label, task: { tool, action, payload, priority, source: 'quickstart', tags: ['quickstart'] } };
}

function shown(path: string): string {
  return relative(installed('.'), path);
}

async function hashInstallation(): Promise<{ path: string; sha256: string }[]> {
  const paths = (await Promise.all(['tools', 'migrations', 'dist'].map((name) => listFiles(installed(name))))).flat();
  const files: { path: string; sha256: string }[] = [];
  for (const path of paths.filter((name) => !name.endsWith('.map') && !name.endsWith('.d.ts'))) {
    files.push({ path, sha256: await sha256File(path) });
  }
  return files;
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
