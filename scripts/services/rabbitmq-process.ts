/** Starts and ends the processes of a RabbitMQ server: Erlang's port mapper and the server itself. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { startGuarded, type GuardedProcess } from '../../src/platform/postgres/embedded/process.ts';
import type { ServiceAccount } from './account.ts';
import type { Certificates } from './certificates.ts';
import { endLeftover, endProcess, waitUntilReady } from './life.ts';
import { assertFree, isListening } from './ports.ts';
import type { RabbitMqFiles, RabbitMqPorts } from './rabbitmq-files.ts';

export interface RabbitMqProcess {
  /** In order, within seconds. */
  stop(): Promise<void>;
  /** By SIGKILL. */
  kill(): Promise<void>;
}

export interface ProcessOptions {
  dir: string;
  /** The start script of RabbitMQ. */
  program: string;
  account: ServiceAccount;
  certificates: Certificates;
  ports: RabbitMqPorts;
  files: RabbitMqFiles;
}

const START_LIMIT_MS = 90_000;
const MAPPER_LIMIT_MS = 20_000;
/**
 * All that is kept is on disk within a fraction of this; after it the management plugin waits five seconds for nothing. What was
 * confirmed to a publisher survives SIGKILL as well.
 */
const STOP_LIMIT_MS = 1_500;

/** Answers when the server takes TLS connections. Fails with the end of its log. */
export async function startRabbitMqProcess(options: ProcessOptions): Promise<RabbitMqProcess> {
  const { dir, account, certificates, files, ports, program } = options;
  await endLeftover(pidPath(dir), `-writ_node\0${files.nodeName}\0`);
  const { nodeAuth: _, ...own } = ports;
  for (const port of Object.values(own)) await assertFree(port);
  const words = Object.entries(files.environment).map(([name, value]) => `${name}=${value}`);
  const started: GuardedProcess[] = [];
  const start = async (file: string, args: string[], logFile: string): Promise<GuardedProcess> => {
    const prefix = [...account.prefix, 'env', ...words];
    const process = await startGuarded({ account: { prefix, ids: {} }, file, args, logFile, signalAtEnd: 'TERM' });
    started.unshift(process);
    return process;
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    for (const process of started) await endProcess(process, signal, STOP_LIMIT_MS);
    await rm(pidPath(dir), { force: true });
  };
  try {
    const mapper = await start('epmd', ['-port', String(ports.epmd), '-address', '127.0.0.1'], join(dir, 'epmd.log'));
    // Where Erlang finds none it starts one of its own, which nobody would end.
    await waitUntilReady('epmd', mapper, MAPPER_LIMIT_MS, () => isListening(ports.epmd));
    const server = await start(program, [], join(dir, 'rabbitmq.log'));
    await writeFile(pidPath(dir), String(server.pid));
    await waitUntilReady('RabbitMQ', server, START_LIMIT_MS, () => takesTls(ports.amqps, certificates));
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  for (const process of started) process.unref();
  return { stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

async function takesTls(port: number, certificates: Certificates): Promise<boolean> {
  const { certPath, keyPath } = certificates.certificate('writ-orchestrator');
  const [ca, cert, key] = await Promise.all([certificates.caPath, certPath, keyPath].map((path) => readFile(path)));
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', servername: 'localhost', port, ca: ca!, cert: cert!, key: key! });
    const answer = (isReady: boolean): void => {
      socket.destroy();
      resolve(isReady);
    };
    socket.once('secureConnect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

function pidPath(dir: string): string {
  return join(dir, 'rabbitmq.pid');
}
