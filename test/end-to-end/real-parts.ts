/** RabbitMQ and OpenBao for a rig: a virtual host and keys of its own on the services of the run. */

import { readFileSync } from 'node:fs';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import { connectNodeBroker } from '../../src/app/node-broker.ts';
import type { Broker } from '../../src/domain/broker.ts';
import { systemClock } from '../../src/domain/clock.ts';
import type { VaultClient } from '../../src/platform/keys/vault/client.ts';
import { openTransitKey } from '../../src/platform/keys/vault/transit-key.ts';
import { createVaultAuthority } from '../../src/platform/keys/vault/vault-authority.ts';
import { createVaultMark } from '../../src/platform/keys/vault/vault-mark.ts';
import { connectTestRabbitMq, type TestUser } from '../support/rabbitmq-client.ts';
import { testOpenBao, testRabbitMq } from '../support/services.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { connectTestVault } from '../support/vault-client.ts';
import type { Parts, PartsOptions } from './part-set.ts';

/** `id` names what is the rig's own. */
export async function openRealParts(options: PartsOptions, id: string): Promise<Parts> {
  const service = options.rabbitMq ?? (await testRabbitMq());
  const vhost = options.vhost ?? `rig-${id}`;
  if (options.vhost === undefined) await service.createVhost(vhost);
  const keys = await openKeys(id);
  const proxies = new Map<Broker, TcpProxy>();
  const connectAs = async (user: TestUser): Promise<Broker> => {
    const proxy = await startTcpProxy(service.port);
    const bodyMaxBytes = options.messageMaxBytes;
    const limits = bodyMaxBytes === undefined ? {} : { bodyMaxBytes };
    const broker = await connectTestRabbitMq({ service, vhost, user, port: proxy.port, options: limits });
    if (broker.failure !== undefined) throw broker.failure;
    proxies.set(broker, proxy);
    return broker;
  };
  return {
    ...keys.parts,
    ...{ vhost, nodeAuthPort: service.nodeAuthPort },
    brokerAccess: { url: addressOf(service, vhost), ca: readFileSync(service.caPath, 'utf8') },
    connect: () => connectAs('writ-orchestrator'),
    connectConsumer: () => connectAs('writ-consumer'),
    connectNode: (access) => connectNodeBroker(access, { random: Math.random, log: () => undefined }),
    sever: async (broker) => {
      proxies.get(broker)?.break();
      // RabbitMQ has noticed when what was out with the connection is ready again.
      await new Promise((resolve) => setTimeout(resolve, 100));
    },
    stop: async () => {
      for (const proxy of proxies.values()) await proxy.close();
      if (options.vhost === undefined) await service.deleteVhost(vhost);
      keys.close();
    },
  };
}

function addressOf(service: RabbitMqService, vhost: string): string {
  return `amqps://localhost:${service.port.toString()}/${encodeURIComponent(vhost)}`;
}

/** Keys made for the rig, used with the rights of whoever made them: the policies have tests of their own. */
async function openKeys(id: string): Promise<{
  parts: Pick<Parts, 'logSigner' | 'manifestKey' | 'openMark' | 'authority'>;
  close: () => void;
}> {
  const client: VaultClient = await connectTestVault(await testOpenBao(), 'root');
  const make = (name: string, type: 'ecdsa-p256' | 'ed25519'): ReturnType<typeof openTransitKey> =>
    openTransitKey({ client, mount: 'transit', name: `${name}-${id}`, type, create: true });
  const logKey = await make('log', 'ed25519');
  return {
    parts: {
      logSigner: await logKey.signer(1),
      manifestKey: await make('manifest', 'ecdsa-p256'),
      openMark: (origin) => Promise.resolve(createVaultMark({ client, origin })),
      authority: createVaultAuthority({ client, clock: systemClock }),
    },
    close: () => {
      client.close();
    },
  };
}
