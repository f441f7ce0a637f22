/** Starts RabbitMQ, OpenBao and PostgreSQL together, and tells Writ's settings for them. */
import { join } from 'node:path';
import { lockDataFolder } from '../../src/platform/data-folder.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { startOpenBao, type OpenBaoService } from './openbao.ts';
import type { RabbitMqPorts } from './rabbitmq-files.ts';
import { startRabbitMq, type RabbitMqService } from './rabbitmq.ts';

/** Ports that are to be taken; the others are free ones. */
export interface ServicePorts {
  rabbitMq?: Partial<RabbitMqPorts>;
  openBao?: { port?: number };
  postgres?: { port?: number; settings?: Readonly<Record<string, string>> };
}

export interface RunningServices {
  rabbitMq: RabbitMqService;
  openBao: OpenBaoService;
  postgres: EmbeddedPostgres;
  /** By the names of Writ's settings. */
  environment: Record<string, string>;
  /** Stops all of it, in order. */
  stop(): Promise<void>;
}

/** One process at a time on a data folder. Where one does not start, the others are stopped again. */
export async function startServices(data: string, ports: ServicePorts): Promise<RunningServices> {
  const running: { stop(): Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    for (const service of running.splice(0).reverse()) await service.stop();
  };
  try {
    const lock = await lockDataFolder(data);
    running.push({ stop: () => lock.release() });
    const postgres = await startEmbeddedPostgres({ dataDir: join(data, 'postgres'), ...ports.postgres });
    running.push(postgres);
    const openBao = await startOpenBao({ dir: join(data, 'openbao'), ...ports.openBao });
    running.push(openBao);
    // RabbitMQ is last: it is told by which authority the certificates of nodes are signed.
    const extraCaPem = [await openBao.pkiRootPem()];
    const rabbitMq = await startRabbitMq({ dir: join(data, 'rabbitmq'), ports: ports.rabbitMq ?? {}, extraCaPem });
    running.push(rabbitMq);
    return { postgres, openBao, rabbitMq, environment: await environmentOf(postgres, openBao, rabbitMq), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function environmentOf(
  postgres: EmbeddedPostgres,
  openBao: OpenBaoService,
  rabbitMq: RabbitMqService,
): Promise<Record<string, string>> {
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
