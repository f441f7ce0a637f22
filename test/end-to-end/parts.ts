/** The parts that a rig stands on: embedded ones, or the real ones where `WRIT_TEST_PARTS` is `real`. */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Broker } from '../../src/domain/broker.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import { openLocalMark } from '../../src/platform/keys/local-mark.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { openLocalSigningKey } from '../../src/platform/keys/local-signing-key.ts';
import type { Parts, PartsOptions } from './part-set.ts';
import { openRealParts } from './real-parts.ts';

/** Whether the end-to-end tests run on RabbitMQ and OpenBao. */
export const isReal = process.env['WRIT_TEST_PARTS'] === 'real';

export function openParts(options: PartsOptions): Promise<Parts> {
  return isReal || options.rabbitMq !== undefined ? openRealParts(options, randomUUID()) : openEmbeddedParts(options);
}

async function openEmbeddedParts({ folder, messageMaxBytes }: PartsOptions): Promise<Parts> {
  const server = new InProcessBrokerServer(messageMaxBytes === undefined ? {} : { messageMaxBytes });
  const connect = (): Promise<Broker> => Promise.resolve(server.connect());
  return {
    logSigner: await openLocalSigner({ path: join(folder, 'log.pem'), algorithm: 'EdDSA', create: true }),
    manifestKey: await openLocalSigningKey({ path: join(folder, 'manifest.pem'), algorithm: 'ES256', create: true }),
    openMark: (origin) => openLocalMark({ directory: join(folder, 'marks'), origin }),
    connect,
    connectConsumer: connect,
    connectNode: connect,
    sever: (broker) => {
      server.sever(broker);
      return Promise.resolve();
    },
    stop: () => {
      server.close();
      return Promise.resolve();
    },
  };
}
