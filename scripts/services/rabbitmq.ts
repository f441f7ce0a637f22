/** A RabbitMQ server of its own on a folder, set up as in `rabbitmq/`, for tests and for trying. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { serviceAccount } from './account.ts';
import { makeCertificates, type Certificates } from './certificates.ts';
import { freePorts } from './ports.ts';
import { isExecutable, onPath } from './programs.ts';
import { writeRabbitMqFiles, type RabbitMqPorts } from './rabbitmq-files.ts';
import { rabbitMqManagement, type RabbitMqManagement } from './rabbitmq-management.ts';
import { startRabbitMqProcess, type RabbitMqProcess } from './rabbitmq-process.ts';

export interface RabbitMqOptions {
  /** Folder of the server's own, made if missing. What was in it goes on. */
  dir: string;
  /** Default: ones that are free. */
  ports?: Partial<RabbitMqPorts>;
  /** Further authorities of client certificates: those of nodes. */
  extraCaPem?: readonly string[];
  /** Where an orchestrator answers about nodes, without the path. Default: `nodeAuthPort` of this machine. */
  nodeAuthUrl?: string;
}

export interface RabbitMqService extends Certificates, RabbitMqManagement {
  /** `amqps://localhost:PORT` */
  url: string;
  port: number;
  managementUrl: string;
  managementUser: string;
  managementPassword: string;
  prometheusUrl: string;
  /** RabbitMQ asks this port of 127.0.0.1 about nodes (unless `nodeAuthUrl` says otherwise): to be listened on by an orchestrator. */
  nodeAuthPort: number;
  /** In order: durable queues and their messages stay. Does nothing when it is down. */
  stop(): Promise<void>;
  /** By SIGKILL: what was confirmed stays. */
  kill(): Promise<void>;
  /** Again, on the same ports and data. */
  start(): Promise<void>;
  /** Takes away all that it knew, users and virtual hosts included; the next start makes those of `rabbitmq/` again. Only when down. */
  wipe(): Promise<void>;
}

const MANAGER = 'manager';
const START_TRIES = 3;
/** Where distributions put it: the one on the PATH of Debian is a wrapper that works on the machine's own broker alone. */
const PROGRAMS = ['/usr/lib/rabbitmq/bin/rabbitmq-server', '/opt/rabbitmq/sbin/rabbitmq-server'];

/** Answers when it takes connections. Everything of it ends with this process, by SIGKILL as well. */
export async function startRabbitMq(options: RabbitMqOptions): Promise<RabbitMqService> {
  const program = findRabbitMq();
  if (program === undefined) throw new Error('there is no RabbitMQ on this machine: install rabbitmq-server');
  // Others may pass through, so that the account of RabbitMQ can; what is in it has modes of its own.
  await mkdir(options.dir, { recursive: true });
  const dir = await realpath(options.dir);
  await chmod(dir, 0o711);
  const certificates = await makeCertificates(join(dir, 'certificates'));
  const account = await serviceAccount(['rabbitmq', 'nobody'], dir);
  const manager = { name: MANAGER, password: randomBytes(18).toString('base64url') };

  const { extraCaPem = [] } = options;

  for (let tries = 1; ; tries += 1) {
    const ports = await choosePorts(options.ports ?? {});
    const nodeAuthUrl = options.nodeAuthUrl ?? `http://127.0.0.1:${ports.nodeAuth}`;
    const files = await writeRabbitMqFiles({ dir, account, certificates, ports, extraCaPem, nodeAuthUrl, manager });
    const launch = (): Promise<RabbitMqProcess> =>
      startRabbitMqProcess({ dir, program, account, certificates, ports, files });
    try {
      const process = await launch();
      const managementUrl = `http://127.0.0.1:${ports.management}`;
      const { definitions } = files;
      return {
        ...certificates,
        ...rabbitMqManagement({ url: managementUrl, user: MANAGER, password: manager.password, definitions }),
        ...lifeCycle(process, launch, join(files.home, 'data')),
        url: `amqps://localhost:${ports.amqps}`,
        port: ports.amqps,
        managementUrl,
        managementUser: MANAGER,
        managementPassword: manager.password,
        prometheusUrl: `http://127.0.0.1:${ports.prometheus}/metrics`,
        nodeAuthPort: ports.nodeAuth,
      };
    } catch (error) {
      // Somebody may have been faster at a port.
      if (tries === START_TRIES || !/eaddrinuse|in use/i.test(String(error))) throw error;
    }
  }
}

/** The start script of RabbitMQ, which works on any folder. */
export function findRabbitMq(): string | undefined {
  return PROGRAMS.find(isExecutable) ?? onPath('rabbitmq-server');
}

async function choosePorts(given: Partial<RabbitMqPorts>): Promise<RabbitMqPorts> {
  const [amqps, management, prometheus, distribution, epmd, nodeAuth] = await freePorts(6);
  return { amqps, management, prometheus, distribution, epmd, nodeAuth, ...given } as RabbitMqPorts;
}

function lifeCycle(
  first: RabbitMqProcess,
  launch: () => Promise<RabbitMqProcess>,
  data: string,
): Pick<RabbitMqService, 'stop' | 'kill' | 'start' | 'wipe'> {
  let process: RabbitMqProcess | undefined = first;
  return {
    stop: async () => {
      await process?.stop();
      process = undefined;
    },
    kill: async () => {
      await process?.kill();
      process = undefined;
    },
    start: async () => {
      if (process !== undefined) throw new Error('RabbitMQ runs');
      process = await launch();
    },
    wipe: async () => {
      if (process !== undefined) throw new Error('RabbitMQ runs: stop it before its data is taken away');
      await rm(data, { recursive: true, force: true });
    },
  };
}
