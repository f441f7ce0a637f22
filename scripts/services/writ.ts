/** Writ itself on running services: an orchestrator and nodes as processes of their own, from what was built. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WritClient } from '../../src/client/client.ts';
import { freePorts } from './ports.ts';
import type { RunningServices } from './start.ts';

const writ = fileURLToPath(new URL('../../bin/writ', import.meta.url));
/** As in docker/Dockerfile: young objects get more room. */
const heapFlags = ['--max-semi-space-size=64'];

export interface WritOptions {
  services: RunningServices;
  /** Folder for tokens, policy and data of nodes. */
  dir: string;
  /** Names of the nodes. */
  nodes: readonly string[];
  /** Further settings of all processes. */
  settings?: Record<string, string>;
  /** Whether the API speaks TLS. */
  isTls: boolean;
  /** Further flags of Node.js for the processes that go on. */
  nodeFlags?: readonly string[];
}

export interface RunningWrit {
  url: string;
  /** Authority of the API's certificate, PEM and file, where it speaks TLS. */
  ca: { pem: string; path: string } | undefined;
  adminToken: string;
  tokenPath: string;
  policyPath: string;
  /** Process ids: the orchestrator's, and those of the nodes. */
  pids: { orchestrator: number; nodes: number[] };
  /** Nodes first: they send their last receipts while somebody takes them. */
  stop(): Promise<void>;
}

/** Prepares the installation and starts its processes, with nothing but their settings. What was started is stopped where one fails. */
export async function startWrit(options: WritOptions): Promise<RunningWrit> {
  const started: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    const [orchestrator, ...nodes] = started.splice(0);
    await Promise.all(nodes.map(end));
    if (orchestrator !== undefined) await end(orchestrator);
  };
  try {
    return { ...(await startAll(options, started)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startAll(
  { services, dir, nodes, settings = {}, isTls, nodeFlags = [] }: WritOptions,
  started: ChildProcess[],
): Promise<Omit<RunningWrit, 'stop'>> {
  const { rabbitMq, environment } = services;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const [port = 0] = await freePorts(1);
  const { certPath, keyPath } = rabbitMq.certificate('server');
  const listener = isTls ? { HTTP_TLS_CERTFILE: certPath, HTTP_TLS_KEYFILE: keyPath } : {};
  const base = { ...environment, ...settings, ...listener, HTTP_LISTEN: `127.0.0.1:${port.toString()}` };
  const url = `${isTls ? 'https' : 'http'}://localhost:${port.toString()}`;
  const ca = isTls ? { pem: await readFile(rabbitMq.caPath, 'utf8'), path: rabbitMq.caPath } : undefined;
  const tokenPath = join(dir, 'admin.token');
  const policyPath = join(dir, 'audit.policy');
  await run([writ, 'init', '--token-out', tokenPath, '--policy-out', policyPath], base);
  const orchestrator = await goOn([...heapFlags, ...nodeFlags, writ, 'serve', '--json'], base, started);
  const adminToken = (await readFile(tokenPath, 'utf8')).trim();
  const admin = new WritClient({ url, token: adminToken, ...(ca === undefined ? {} : { caCert: ca.pem }) });
  const nodePids: number[] = [];
  for (const name of nodes) {
    const { token } = await admin.createToken({ name, kind: 'join', roles: [], expires_in_s: 900 });
    const joinTokenPath = join(dir, `${name}.token`);
    await writeFile(joinTokenPath, token, { mode: 0o600 });
    const own = {
      ...settings,
      ORCHESTRATOR_URL: url,
      ...(ca === undefined ? {} : { ORCHESTRATOR_CACERT: ca.path }),
      JOIN_TOKEN_FILE: joinTokenPath,
      NODE_NAME: name,
      NODE_DATA_DIR: join(dir, name),
      // Ports may be other ones than when the node joined.
      NODE_RABBITMQ_URL: rabbitMq.url,
    };
    nodePids.push(await goOn([...heapFlags, ...nodeFlags, writ, 'work', '--json'], own, started));
  }
  return { url, ca, adminToken, tokenPath, policyPath, pids: { orchestrator, nodes: nodePids } };
}

/** A process that goes on; resolves with its id when it has said its first line. */
async function goOn(args: string[], settings: Record<string, string>, started: ChildProcess[]): Promise<number> {
  const child = start(args, settings, ['ignore', 'pipe', 'inherit']);
  started.push(child);
  if (child.stdout === null || child.pid === undefined) throw new Error(`${args.join(' ')} cannot be started`);
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${args.join(' ')} has ended: see above`);
  });
  ended.catch(() => undefined);
  await Promise.race([once(child.stdout, 'data'), ended]);
  return child.pid;
}

async function run(args: string[], settings: Record<string, string>): Promise<void> {
  const [code] = (await once(start(args, settings, ['ignore', 'ignore', 'inherit']), 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${args.join(' ')} failed: see above`);
}

function start(
  args: string[],
  settings: Record<string, string>,
  stdio: ('ignore' | 'pipe' | 'inherit')[],
): ChildProcess {
  const base = { PATH: process.env['PATH'], HOME: process.env['HOME'], LOG_LEVEL: 'warn' };
  return spawn(process.execPath, args, { env: { ...base, ...settings }, stdio });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
