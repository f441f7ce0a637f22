/** Starts and ends the process of an OpenBao server. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startGuarded } from '../../src/platform/postgres/embedded/process.ts';
import type { CertificateFiles } from './certificates.ts';
import { endLeftover, endProcess, waitUntilReady } from './life.ts';
import type { OpenBaoApi } from './openbao-api.ts';
import { assertFree } from './ports.ts';

export interface OpenBaoProcess {
  /** In order, within a second. */
  stop(): Promise<void>;
  /** By SIGKILL. */
  kill(): Promise<void>;
}

export interface OpenBaoPorts {
  api: number;
  /** Between servers; its storage wants one even alone. */
  cluster: number;
}

export interface ProcessOptions {
  dir: string;
  program: string;
  ports: OpenBaoPorts;
  certificate: CertificateFiles;
  api: OpenBaoApi;
}

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 5_000;

/** A real server, not its development mode: it can be sealed, and what it knows survives it. Answers when it takes calls. */
export async function startOpenBaoProcess({
  dir,
  program,
  ports,
  certificate,
  api,
}: ProcessOptions): Promise<OpenBaoProcess> {
  const data = join(dir, 'data');
  const configuration = join(dir, 'configuration.json');
  await mkdir(data, { recursive: true, mode: 0o700 });
  const listener = {
    address: `127.0.0.1:${ports.api}`,
    cluster_address: `127.0.0.1:${ports.cluster}`,
    tls_cert_file: certificate.certPath,
    tls_key_file: certificate.keyPath,
    tls_min_version: 'tls12',
  };
  const settings = {
    storage: { raft: { path: data, node_id: 'writ', performance_multiplier: '1' } },
    listener: [{ tcp: listener }],
    api_addr: `https://127.0.0.1:${ports.api}`,
    cluster_addr: `https://127.0.0.1:${ports.cluster}`,
    log_level: 'warn',
  };
  await writeFile(configuration, JSON.stringify(settings), { mode: 0o600 });
  const pidFile = join(dir, 'openbao.pid');
  await endLeftover(pidFile, `-config=${configuration}\0`);
  for (const port of Object.values(ports) as number[]) await assertFree(port);
  const server = await startGuarded({
    account: { prefix: ['env', `HOME=${dir}`], ids: {} },
    file: program,
    args: ['server', `-config=${configuration}`],
    logFile: join(dir, 'openbao.log'),
    signalAtEnd: 'TERM',
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await endProcess(server, signal, STOP_LIMIT_MS);
    await rm(pidFile, { force: true });
  };
  try {
    await writeFile(pidFile, String(server.pid));
    await waitUntilReady('OpenBao', server, START_LIMIT_MS, () =>
      api.call('GET', 'sys/seal-status').then(
        () => true,
        () => false,
      ),
    );
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  server.unref();
  return { stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}
