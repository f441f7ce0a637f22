/**
 * Starts what Writ works with in production, on this machine: RabbitMQ, OpenBao and PostgreSQL. Runs until Ctrl-C.
 *
 *   npm run services -- [--data DIR] [--json] [--amqps-port N] [--management-port N] [--prometheus-port N] [--node-auth-port N]
 *                       [--openbao-port N] [--postgres-port N]
 *
 * Ports that are not given are free ones. The environment for Writ is printed and written into DIR/env.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { lockDataFolder } from '../src/platform/data-folder.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { startOpenBao, type OpenBaoService } from './services/openbao.ts';
import type { RabbitMqPorts } from './services/rabbitmq-files.ts';
import { startRabbitMq, type RabbitMqService } from './services/rabbitmq.ts';

interface Services {
  rabbitMq: RabbitMqService;
  openBao: OpenBaoService;
  postgres: EmbeddedPostgres;
}

const port = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: '.services' },
    json: { type: 'boolean', default: false },
    'amqps-port': port,
    'management-port': port,
    'prometheus-port': port,
    'node-auth-port': port,
    'openbao-port': port,
    'postgres-port': port,
  },
});

const stopped = new Promise<void>((stop) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop());
});
// The services hold nothing up: waiting for a signal has to.
const waiting = setInterval(() => undefined, 60_000);
const running: { stop(): Promise<void> }[] = [];
try {
  const ports = portsOf(values);
  const data = resolve(values.data);
  const lock = await lockDataFolder(data);
  running.push({ stop: () => lock.release() });
  const services = await startAll(data, ports);
  const environment = await environmentOf(services);
  const envFile = join(data, 'env');
  await writeFile(envFile, exportLines(environment), { mode: 0o600 });
  await chmod(envFile, 0o600);
  console.log(
    values.json ? JSON.stringify({ env_file: envFile, environment }) : describe(services, environment, envFile),
  );
  await stopped;
} catch (error) {
  console.error(`services: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  for (const service of running.reverse()) await service.stop();
  clearInterval(waiting);
}

interface Ports {
  rabbitMq: Partial<RabbitMqPorts>;
  openBao: { port?: number };
  postgres: { port?: number };
}

function portsOf(given: typeof values): Ports {
  const read = <Name extends string>(option: keyof typeof given, name: Name): Partial<Record<Name, number>> => {
    const text = given[option];
    if (text === undefined) return {};
    const number = Number(text);
    if (!Number.isInteger(number) || number < 1 || number > 65_535)
      throw new Error(`--${option} is a port, 1 to 65535`);
    return { [name]: number } as Partial<Record<Name, number>>;
  };
  return {
    rabbitMq: {
      ...read('amqps-port', 'amqps'),
      ...read('management-port', 'management'),
      ...read('prometheus-port', 'prometheus'),
      ...read('node-auth-port', 'nodeAuth'),
    },
    openBao: read('openbao-port', 'port'),
    postgres: read('postgres-port', 'port'),
  };
}

/** RabbitMQ is last: it is told by which authority the certificates of nodes are signed. */
async function startAll(data: string, ports: Ports): Promise<Services> {
  const postgres = await startEmbeddedPostgres({ dataDir: join(data, 'postgres'), ...ports.postgres });
  running.push(postgres);
  const openBao = await startOpenBao({ dir: join(data, 'openbao'), ...ports.openBao });
  running.push(openBao);
  const extraCaPem = [await openBao.pkiRootPem()];
  const rabbitMq = await startRabbitMq({ dir: join(data, 'rabbitmq'), ports: ports.rabbitMq, extraCaPem });
  running.push(rabbitMq);
  return { postgres, openBao, rabbitMq };
}

/** By the names of Writ's settings. */
async function environmentOf({ postgres, openBao, rabbitMq }: Services): Promise<Record<string, string>> {
  const client = rabbitMq.certificate('writ-orchestrator');
  return {
    DATABASE_URL: postgres.url,
    BROKER: 'rabbitmq',
    RABBITMQ_URL: rabbitMq.url,
    RABBITMQ_SSL_CAFILE: rabbitMq.caPath,
    RABBITMQ_SSL_CERTFILE: client.certPath,
    RABBITMQ_SSL_KEYFILE: client.keyPath,
    RABBITMQ_MANAGEMENT_URL: rabbitMq.managementUrl,
    RABBITMQ_MANAGEMENT_USER: rabbitMq.managementUser,
    RABBITMQ_MANAGEMENT_PASSWORD: rabbitMq.managementPassword,
    BROKER_AUTH_LISTEN: `127.0.0.1:${rabbitMq.nodeAuthPort}`,
    SIGNER: 'vault',
    VAULT_ADDR: openBao.url,
    VAULT_CACERT: openBao.caPath,
    VAULT_ROLE_ID: openBao.roleId,
    VAULT_SECRET_ID: await openBao.newSecretId(),
  };
}

function exportLines(environment: Record<string, string>): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('');
}

function describe(
  { postgres, openBao, rabbitMq }: Services,
  environment: Record<string, string>,
  envFile: string,
): string {
  const consumer = rabbitMq.certificate('writ-consumer');
  return `PostgreSQL  127.0.0.1:${postgres.port}
OpenBao     ${openBao.url}
            its root token lies in ${openBao.secretsPath}
RabbitMQ    ${rabbitMq.url}
            management ${rabbitMq.managementUrl}, Prometheus ${rabbitMq.prometheusUrl}
            as a consumer: ${consumer.certPath}, ${consumer.keyPath}

${exportLines(environment)}
The same is in ${envFile}. Ctrl-C stops all of it.`;
}
