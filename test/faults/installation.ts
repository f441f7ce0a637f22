/** An orchestrator on real parts, and nodes as processes of their own, for tests of faults. */

import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureAdminToken, makeJoinToken } from '../../src/app/dev-files.ts';
import { startServe, type Serving } from '../../src/app/serve.ts';
import { WritClient } from '../../src/client/client.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { testOpenBao, testRabbitMq } from '../support/services.ts';

/** From source, as the orchestrator here: the digests of built-in tools are over what runs them. */
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface Installation {
  serving: Serving;
  client: WritClient;
  /** With the rights of the tables' owner. */
  database: Database;
  folder: string;
  /** Starts `writ work`; the same name goes on with the same data. */
  startNode(name: string, options?: NodeProcessOptions): Promise<NodeProcess>;
  stop(): Promise<void>;
}

export interface NodeProcessOptions {
  /** Size of a file at most, in KiB: what a full disk looks like. */
  fileMaxKiB?: number;
  environment?: Record<string, string>;
}

export async function startInstallation(): Promise<Installation> {
  const [testDatabase, rabbitMq, openBao] = await Promise.all([createTestDatabase(), testRabbitMq(), testOpenBao()]);
  const folder = await makeScratchFolder('writ-installation-');
  const vhost = `installation-${randomUUID()}`;
  await rabbitMq.createVhost(vhost);
  const orchestrator = rabbitMq.certificate('writ-orchestrator');
  const serving = await startServe({
    environment: {
      DATABASE_URL: testDatabase.url,
      RABBITMQ_URL: `${rabbitMq.url}/${vhost}`,
      RABBITMQ_SSL_CAFILE: rabbitMq.caPath,
      RABBITMQ_SSL_CERTFILE: orchestrator.certPath,
      RABBITMQ_SSL_KEYFILE: orchestrator.keyPath,
      BROKER_AUTH_LISTEN: `127.0.0.1:${rabbitMq.nodeAuthPort.toString()}`,
      VAULT_ADDR: openBao.url,
      VAULT_CACERT: openBao.caPath,
      VAULT_ROLE_ID: openBao.roleId,
      VAULT_SECRET_ID: await openBao.newSecretId(),
      HTTP_LISTEN: '127.0.0.1:0',
      HEARTBEAT_INTERVAL_S: '1',
    },
    log: () => undefined,
  });
  const database = createPool({ url: testDatabase.url, max: 3 });
  const token = await ensureAdminToken(join(folder, 'admin.token'), serving.orchestrator);
  const processes: NodeProcess[] = [];
  return {
    ...{ serving, database, folder },
    client: new WritClient({ url: serving.url, token }),
    startNode: async (name, options = {}) => {
      const dataDir = join(folder, name);
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      const node = new NodeProcess(
        {
          ORCHESTRATOR_URL: serving.url,
          JOIN_TOKEN: await makeJoinToken(name, serving.orchestrator),
          NODE_NAME: name,
          NODE_DATA_DIR: dataDir,
          NODE_SLOTS: '16',
          ...options.environment,
        },
        options.fileMaxKiB,
      );
      processes.push(node);
      return node;
    },
    stop: async () => {
      await Promise.all(processes.map((node) => node.kill()));
      await serving.stop();
      await database.close();
      await rabbitMq.deleteVhost(vhost);
      await testDatabase.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One run of `writ work`. */
export class NodeProcess {
  readonly #child: ChildProcess;
  /** Id of the node, when it takes orders. Fails where it ends before. */
  readonly ready: Promise<string>;
  /** Exit status, when it has ended; null after a signal. */
  readonly ended: Promise<number | null>;
  /** What it has logged so far. */
  log = '';

  constructor(environment: Record<string, string>, fileMaxKiB: number | undefined) {
    const limit = fileMaxKiB === undefined ? '' : `ulimit -f ${fileMaxKiB.toString()}; `;
    this.#child = spawn(
      'bash',
      ['-c', `${limit}exec "$0" "$@"`, process.execPath, '--import=tsx', main, 'work', '--json'],
      {
        env: { PATH: process.env['PATH'], HOME: '/nonexistent', LOG_LEVEL: 'warn', ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
    this.ended = once(this.#child, 'exit').then(([code]) => code as number | null);
    this.ready = this.#firstLine().then((line) => (JSON.parse(line) as { node_id: string }).node_id);
    this.ready.catch(() => undefined);
  }

  kill(): Promise<number | null> {
    this.#child.kill('SIGKILL');
    return this.ended;
  }

  /** Asks it to stop, in order. */
  terminate(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }

  async #firstLine(): Promise<string> {
    if (this.#child.stdout === null) throw new Error('no output');
    const failed = this.ended.then(() => {
      throw new Error(`writ work has ended: ${this.log}`);
    });
    const [chunk] = (await Promise.race([once(this.#child.stdout, 'data'), failed])) as [Buffer];
    return chunk.toString();
  }
}
