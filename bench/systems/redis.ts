/** Starts a Redis for BullMQ, on a folder of its own. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { endProcess, waitUntilReady } from '../../scripts/services/life.ts';
import { freePorts, isListening } from '../../scripts/services/ports.ts';
import { onPath } from '../../scripts/services/programs.ts';
import { startGuarded } from '../../src/platform/postgres/embedded/process.ts';
import type { Cleanup } from './cleanup.ts';

export interface Redis {
  port: number;
  pid: number;
}

const startLimitMs = 10_000;
const stopLimitMs = 3000;

/** As BullMQ asks for: an append-only file that is synced every second, and no eviction. It ends with this process, by SIGKILL as well. */
export async function startRedis(dir: string, cleanup: Cleanup): Promise<Redis> {
  const file = onPath('redis-server');
  if (file === undefined) throw new Error('redis-server is not on the PATH');
  await mkdir(dir, { recursive: true });
  const [port = 0] = await freePorts(1);
  const settings = {
    ...{ port: port.toString(), bind: '127.0.0.1', dir },
    ...{ appendonly: 'yes', appendfsync: 'everysec', 'maxmemory-policy': 'noeviction', save: '' },
  };
  const redis = await startGuarded({
    account: { prefix: [], ids: {} },
    file,
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    logFile: join(dir, 'redis.log'),
    signalAtEnd: 'TERM',
  });
  cleanup.add(() => endProcess(redis, 'SIGTERM', stopLimitMs));
  await waitUntilReady('Redis', redis, startLimitMs, () => isListening(port));
  redis.unref();
  return { port, pid: redis.pid };
}
