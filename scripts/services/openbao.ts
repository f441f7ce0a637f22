/** An OpenBao server of its own on a folder, set up by `vault/set-up.sh`, for tests and for trying. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CLEAN_ENVIRONMENT } from '../../src/platform/postgres/embedded/account.ts';
import { makeCertificates } from './certificates.ts';
import { openBaoApi, type OpenBaoApi } from './openbao-api.ts';
import { startOpenBaoProcess, type OpenBaoProcess } from './openbao-process.ts';
import { installOpenBao } from './openbao-program.ts';
import { freePorts } from './ports.ts';

export interface OpenBaoOptions {
  /** Folder of the server's own, made if missing. What was in it goes on. */
  dir: string;
  /** Default: one that is free. */
  port?: number;
}

export interface OpenBaoService {
  /** `https://127.0.0.1:PORT` */
  url: string;
  /** Authority of its certificate, PEM file. */
  caPath: string;
  /** May do everything. */
  rootToken: string;
  /** File with the root token and the key that unseals it, JSON. */
  secretsPath: string;
  /** Of the AppRole `writ-orchestrator`. */
  roleId: string;
  newSecretId(): Promise<string>;
  /** A token that a secret id is unwrapped from, once. */
  newWrappedSecretId(): Promise<string>;
  /** Root of the certificates that its PKI signs, PEM. */
  pkiRootPem(): Promise<string>;
  seal(): Promise<void>;
  unseal(): Promise<void>;
  /** Runs `vault/set-up.sh` and answers what it said. */
  setUp(): Promise<string>;
  /** Path of the command line client, and the environment in which it has all rights. */
  cli: { path: string; environment: Record<string, string> };
  /** In order. Does nothing when it is down. */
  stop(): Promise<void>;
  /** By SIGKILL. */
  kill(): Promise<void>;
  /** Again, on the same port and data, unsealed. */
  start(): Promise<void>;
}

interface Secrets {
  unsealKey: string;
  rootToken: string;
}

const run = promisify(execFile);
const SET_UP = fileURLToPath(new URL('../../vault/set-up.sh', import.meta.url));
const ROLE = 'auth/approle/role/writ-orchestrator';
const WRAPPED_FOR_S = 300;
const ACTIVE_LIMIT_MS = 20_000;
const POLL_MS = 20;

/**
 * Answers when it is unsealed and set up. Everything of it ends with this process, by SIGKILL as well. Its key and its root token lie
 * beside its data, mode 0600: good for tests and for trying alone.
 */
export async function startOpenBao(options: OpenBaoOptions): Promise<OpenBaoService> {
  const program = await installOpenBao();
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const dir = await realpath(options.dir);
  const certificates = await makeCertificates(join(dir, 'certificates'));
  const [free, cluster] = await freePorts(2);
  const ports = { api: options.port ?? free!, cluster: cluster! };
  const url = `https://127.0.0.1:${ports.api}`;
  const api = openBaoApi(url, await readFile(certificates.caPath, 'utf8'));
  const launch = (): Promise<OpenBaoProcess> =>
    startOpenBaoProcess({ dir, program, ports, certificate: certificates.certificate('server'), api });

  let process: OpenBaoProcess | undefined = await launch();
  const end = async (how: 'stop' | 'kill'): Promise<void> => {
    await process?.[how]();
    process = undefined;
  };
  try {
    const secretsPath = join(dir, 'secrets.json');
    const { rootToken, unsealKey } = await ensureSecrets(secretsPath, api);
    const unseal = async (): Promise<void> => {
      await api.call('PUT', 'sys/unseal', { body: { key: unsealKey } });
      await waitUntilActive(api);
    };
    const environment = { VAULT_ADDR: url, VAULT_CACERT: certificates.caPath, VAULT_TOKEN: rootToken };
    const setUp = async (): Promise<string> =>
      (await run(SET_UP, [], { env: { ...CLEAN_ENVIRONMENT, HOME: dir, VAULT_CLI: program, ...environment } })).stdout;
    await unseal();
    await setUp();
    const role = (await api.call('GET', `${ROLE}/role-id`, { token: rootToken })) as { role_id: string };
    return {
      url,
      caPath: certificates.caPath,
      rootToken,
      secretsPath,
      roleId: role.role_id,
      newSecretId: async () => {
        const answer = await api.call('PUT', `${ROLE}/secret-id`, { token: rootToken });
        return (answer as { secret_id: string }).secret_id;
      },
      newWrappedSecretId: async () =>
        (await api.call('PUT', `${ROLE}/secret-id`, { token: rootToken, wrapS: WRAPPED_FOR_S })) as string,
      pkiRootPem: async () => ((await api.call('GET', 'pki/cert/ca')) as { certificate: string }).certificate,
      seal: async () => {
        await api.call('PUT', 'sys/seal', { token: rootToken });
      },
      unseal,
      setUp,
      cli: { path: program, environment },
      stop: () => end('stop'),
      kill: () => end('kill'),
      start: async () => {
        if (process !== undefined) throw new Error('OpenBao runs');
        process = await launch();
        await unseal();
      },
    };
  } catch (error) {
    await end('kill');
    throw error;
  }
}

/** An unsealed server takes a moment to lead itself. */
async function waitUntilActive(api: OpenBaoApi): Promise<void> {
  for (let waitedMs = 0; waitedMs < ACTIVE_LIMIT_MS; waitedMs += POLL_MS) {
    // Any status but 200 is one of a server that does not work yet.
    const isActive = await api.call('GET', 'sys/health').then(
      () => true,
      () => false,
    );
    if (isActive) return;
    await delay(POLL_MS);
  }
  throw new Error(`OpenBao is not active within ${ACTIVE_LIMIT_MS / 1000} s after it was unsealed`);
}

/** Those that initialising it gave, kept for the next start. */
async function ensureSecrets(path: string, api: OpenBaoApi): Promise<Secrets> {
  const { initialized } = (await api.call('GET', 'sys/init')) as { initialized: boolean };
  if (initialized) {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new Error(`${path} is gone, and OpenBao cannot be unsealed without it: put it back, or remove the folder`, {
        cause,
      });
    });
    return JSON.parse(text) as Secrets;
  }
  const body = { secret_shares: 1, secret_threshold: 1 };
  const made = (await api.call('PUT', 'sys/init', { body })) as { keys_base64: string[]; root_token: string };
  const secrets = { unsealKey: made.keys_base64[0]!, rootToken: made.root_token };
  await writeFile(path, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}
