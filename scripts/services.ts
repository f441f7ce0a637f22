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
import { startServices, type RunningServices, type ServicePorts } from './services/start.ts';

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
let services: RunningServices | undefined;
try {
  const data = resolve(values.data);
  services = await startServices(data, portsOf(values));
  const { environment } = services;
  const envFile = join(data, 'env');
  await writeFile(envFile, exportLines(environment), { mode: 0o600 });
  await chmod(envFile, 0o600);
  console.log(values.json ? JSON.stringify({ env_file: envFile, environment }) : describe(services, envFile));
  await stopped;
} catch (error) {
  console.error(`services: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await services?.stop();
  clearInterval(waiting);
}

function portsOf(given: typeof values): ServicePorts {
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

function exportLines(environment: Record<string, string>): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('');
}

function describe({ postgres, openBao, rabbitMq, environment }: RunningServices, envFile: string): string {
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
