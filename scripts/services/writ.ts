/** Writ itself on running services: an orchestrator and nodes as processes of their own, from what was built. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WritClient } from '../../src/client/client.ts';
import { freePorts } from './ports.ts';
import type { RunningServices } from './start.ts';
import { heapFlags, runWrit, startWritProcess } from './writ-process.ts';

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

type Stop = () => Promise<void>;

/** Prepares the installation and starts its processes, with nothing but their settings. What was started is stopped where one fails. */
export async function startWrit(options: WritOptions): Promise<RunningWrit> {
  const started: Stop[] = [];
  const stop = async (): Promise<void> => {
    const [orchestrator, ...nodes] = started.splice(0);
    await Promise.all(nodes.map((end) => end()));
    await orchestrator?.();
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
  started: Stop[],
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
  await runWrit(['init', '--token-out', tokenPath, '--policy-out', policyPath], base);
  const goOn = async (command: string, own: Record<string, string>): Promise<number> => {
    const process = await startWritProcess({
      args: [command, '--json'],
      settings: own,
      flags: [...heapFlags, ...nodeFlags],
      onSpawned: (stop) => started.push(stop),
    });
    return process.pid;
  };
  const orchestrator = await goOn('serve', base);
  const adminToken = (await readFile(tokenPath, 'utf8')).trim();
  const admin = new WritClient({ url, token: adminToken, ...(ca === undefined ? {} : { caCert: ca.pem }) });
  const nodePids: number[] = [];
  for (const name of nodes) {
    const own = await nodeSettings({ name, dir, url, ca, admin, services });
    nodePids.push(await goOn('work', { ...settings, ...own }));
  }
  return { url, ca, adminToken, tokenPath, policyPath, pids: { orchestrator, nodes: nodePids } };
}

/** Settings of a node that joins by a token of its own. */
export async function nodeSettings(node: {
  name: string;
  dir: string;
  url: string;
  ca: RunningWrit['ca'];
  admin: WritClient;
  services: RunningServices;
}): Promise<Record<string, string>> {
  const { name, dir, url, ca, admin, services } = node;
  const { token } = await admin.createToken({ name, kind: 'join', roles: [], expires_in_s: 900 });
  const joinTokenPath = join(dir, `${name}.token`);
  await writeFile(joinTokenPath, token, { mode: 0o600 });
  return {
    ORCHESTRATOR_URL: url,
    ...(ca === undefined ? {} : { ORCHESTRATOR_CACERT: ca.path }),
    JOIN_TOKEN_FILE: joinTokenPath,
    NODE_NAME: name,
    NODE_DATA_DIR: join(dir, name),
    // Ports may be other ones than when the node joined.
    NODE_RABBITMQ_URL: services.rabbitMq.url,
  };
}
