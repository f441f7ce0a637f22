/** Real services for tests: one RabbitMQ and one OpenBao for the whole run, each started by whoever asks first. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { available } from '../../scripts/services/available.ts';
import { startOpenBao, type OpenBaoService } from '../../scripts/services/openbao.ts';
import { startRabbitMq, type RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import { makeScratchFolder, scratchParent } from './scratch.ts';

const FOLDER_PREFIX = 'writ-test-services-';

let folder: Promise<string> | undefined;
let folders = 0;
let rabbitMq: Promise<RabbitMqService> | undefined;
let openBao: Promise<OpenBaoService> | undefined;

/**
 * In a virtual host of its own a suite disturbs no other (`createVhost`). A test that stops or kills the server starts its own.
 * Starting takes some ten seconds: give the hook that asks first a time-out of a minute.
 */
export async function testRabbitMq(): Promise<RabbitMqService> {
  return (rabbitMq ??= startTestRabbitMq());
}

/** A RabbitMQ of the test's own, which it may stop and kill, and which it ends. It knows the nodes that the shared OpenBao certifies. */
export async function startTestRabbitMq(): Promise<RabbitMqService> {
  const extraCaPem = [await (await testOpenBao()).pkiRootPem()];
  return startRabbitMq({ dir: await newServiceFolder('rabbitmq'), extraCaPem });
}

/** As `testRabbitMq`. Who seals it unseals it again. */
export async function testOpenBao(): Promise<OpenBaoService> {
  return (openBao ??= newServiceFolder('openbao').then((dir) => startOpenBao({ dir })));
}

/** Path of a folder, not made yet, for a service of the test's own; it is removed at the end of the run. */
export async function newServiceFolder(name: string): Promise<string> {
  folder ??= sweep().then(() => makeScratchFolder(`${FOLDER_PREFIX}${process.pid}-`));
  folders += 1;
  return join(await folder, `${name}-${folders}`);
}

/**
 * Why suites that need real services cannot run here; they are skipped, and counted as such:
 * `before(function () { if (realPartsMissing() !== undefined) this.skip(); })`. With `CI=true` it throws instead.
 */
export function realPartsMissing(): string | undefined {
  const reasons = [...new Set(Object.values(available()))].filter((answer) => answer !== true);
  if (reasons.length === 0) return undefined;
  if (process.env['CI'] === 'true') throw new Error(reasons.join('; '));
  return reasons.join('; ');
}

/** Ends what was started and removes its files; for the end of the run. */
export async function stopTestServices(): Promise<void> {
  // One that did not start has left nothing running.
  const started = [rabbitMq, openBao].map((service) => service?.catch(() => undefined));
  await Promise.all(started.map(async (service) => (await service)?.stop()));
  if (folder !== undefined) await rm(await folder, { recursive: true, force: true });
}

/** Runs that were killed left their folders behind; their services have ended by themselves. */
async function sweep(): Promise<void> {
  const parent = await scratchParent();
  for (const name of await readdir(parent)) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const pid = Number(name.slice(FOLDER_PREFIX.length).split('-')[0]);
    if (!isAlive(pid)) await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
