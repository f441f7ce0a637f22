/** Writes the files that a RabbitMQ server on this machine is set up with: those of `rabbitmq/`, and what is this server's own. */
import { createHash, randomBytes } from 'node:crypto';
import { chown, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceAccount } from './account.ts';
import type { Certificates } from './certificates.ts';

export interface RabbitMqPorts {
  amqps: number;
  management: number;
  prometheus: number;
  /** Between Erlang nodes; RabbitMQ wants it even alone. */
  distribution: number;
  /** Of Erlang's port mapper, which is this server's own. */
  epmd: number;
  /** Where an orchestrator answers about nodes; nothing of RabbitMQ listens there. */
  nodeAuth: number;
}

/** What of `definitions.json` holds in a virtual host. */
export interface VhostDefinitions {
  permissions: { user: string; vhost: string; configure: string; write: string; read: string }[];
  policies: {
    vhost: string;
    name: string;
    pattern: string;
    'apply-to': string;
    definition: object;
    priority: number;
  }[];
}

export interface RabbitMqFiles {
  /** Erlang's name of the server; its data belongs to that name. */
  nodeName: string;
  /** Folder of the account's own: cookie and data. */
  home: string;
  environment: Record<string, string>;
  definitions: VhostDefinitions;
}

export interface FilesOptions {
  dir: string;
  account: ServiceAccount;
  certificates: Certificates;
  ports: RabbitMqPorts;
  extraCaPem: readonly string[];
  /** Without the path: `http://127.0.0.1:8080`. */
  nodeAuthUrl: string;
  manager: { name: string; password: string };
}

interface Definitions extends VhostDefinitions {
  users: object[];
}

const SOURCE = fileURLToPath(new URL('../../rabbitmq', import.meta.url));
/** Few threads, which start quicker than many, and Erlang's own port on the loopback interface alone. */
const ERLANG = '+S 2:2 +A 1 +SDio 2 -kernel inet_dist_use_interface {127,0,0,1}';

/** Makes or renews all of them in `dir`; the server's data stays. */
export async function writeRabbitMqFiles(options: FilesOptions): Promise<RabbitMqFiles> {
  const { dir, account } = options;
  const config = configPath(dir);
  const home = join(dir, 'home');
  await rm(config, { recursive: true, force: true });
  for (const folder of [join(config, 'conf.d'), home]) await mkdir(folder, { recursive: true, mode: 0o700 });
  const nodeName = await ensureNodeName(dir);
  const definitions = JSON.parse(await readFile(join(SOURCE, 'definitions.json'), 'utf8')) as Definitions;
  await copyFile(join(SOURCE, 'rabbitmq.conf'), join(config, 'rabbitmq.conf'));
  await copyFile(join(SOURCE, 'enabled_plugins'), join(config, 'enabled_plugins'));
  await writeTls(config, options);
  await writeFile(join(config, 'conf.d/90-local.conf'), localSettings(config, options));
  await writeFile(join(config, 'definitions.json'), JSON.stringify(withManager(definitions, options.manager)));
  await writeFile(join(config, 'environment'), '');
  const cookie = join(home, '.erlang.cookie');
  await rm(cookie, { force: true });
  await writeFile(cookie, randomBytes(24).toString('hex'), { mode: 0o400 });
  const inConfig = (await readdir(config, { recursive: true })).map((name) => join(config, name));
  await giveTo(account, [config, ...inConfig, home, cookie]);
  return { nodeName, home, environment: environmentOf(options, nodeName), definitions };
}

/** Stays with the folder: a server of another name would not find its data. */
async function ensureNodeName(dir: string): Promise<string> {
  const path = join(dir, 'node-name');
  const known = await readFile(path, 'utf8').catch(() => undefined);
  if (known !== undefined) return known;
  const name = `writ-${randomBytes(6).toString('hex')}@localhost`;
  await writeFile(path, name);
  return name;
}

async function writeTls(config: string, { certificates, extraCaPem }: FilesOptions): Promise<void> {
  const { certPath, keyPath } = certificates.certificate('server');
  const authorities = [await readFile(certificates.caPath, 'utf8'), ...extraCaPem];
  await writeFile(join(config, 'ca.pem'), authorities.map((pem) => `${pem.trim()}\n`).join(''));
  await copyFile(certPath, join(config, 'server.pem'));
  await copyFile(keyPath, join(config, 'server.key'));
}

function localSettings(config: string, { ports, nodeAuthUrl }: FilesOptions): string {
  const settings: Record<string, string> = {
    'listeners.ssl.default': `127.0.0.1:${ports.amqps}`,
    'ssl_options.cacertfile': join(config, 'ca.pem'),
    'ssl_options.certfile': join(config, 'server.pem'),
    'ssl_options.keyfile': join(config, 'server.key'),
    'management.tcp.port': String(ports.management),
    'prometheus.tcp.port': String(ports.prometheus),
    load_definitions: join(config, 'definitions.json'),
    'log.console.level': 'info',
    // Tests have small folders in memory.
    'disk_free_limit.absolute': '50MB',
  };
  for (const path of ['user', 'vhost', 'resource', 'topic']) {
    settings[`auth_http.${path}_path`] = `${nodeAuthUrl}/rabbitmq/${path}`;
  }
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

/** A user of the management API, whose password is good for nothing else: AMQP takes certificates alone. */
function withManager(definitions: Definitions, { name, password }: FilesOptions['manager']): Definitions {
  const manager = {
    name,
    password_hash: passwordHash(password),
    hashing_algorithm: 'rabbit_password_hashing_sha256',
    tags: ['administrator'],
    limits: {},
  };
  return { ...definitions, users: [...definitions.users, manager] };
}

/** Salt of four bytes, then the SHA-256 of salt and password (RabbitMQ, "Credentials and Passwords"). */
function passwordHash(password: string): string {
  const salt = randomBytes(4);
  const hash = createHash('sha256').update(salt).update(password).digest();
  return Buffer.concat([salt, hash]).toString('base64');
}

function environmentOf({ dir, ports }: FilesOptions, nodeName: string): Record<string, string> {
  const config = configPath(dir);
  const home = join(dir, 'home');
  return {
    LC_ALL: 'C.UTF-8',
    HOME: home,
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The start script becomes the server instead of waiting for it.
    RUNNING_UNDER_SYSTEMD: 'true',
    // A crash is told by the log; no dump is left in the working directory.
    ERL_CRASH_DUMP_BYTES: '0',
    // Empty, lest that of the machine's own broker be read.
    RABBITMQ_CONF_ENV_FILE: join(config, 'environment'),
    RABBITMQ_NODENAME: nodeName,
    RABBITMQ_CONFIG_FILE: join(config, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(config, 'conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(config, 'advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(config, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(home, 'data'),
    RABBITMQ_LOG_BASE: join(home, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${ERLANG} -writ_node ${nodeName}`,
  };
}

function configPath(dir: string): string {
  return join(dir, 'config');
}

async function giveTo({ owner }: ServiceAccount, paths: readonly string[]): Promise<void> {
  if (owner === undefined) return;
  for (const path of paths) await chown(path, owner.uid, owner.gid);
}
