/**
 * Everything on real parts, on this machine: RabbitMQ, OpenBao and PostgreSQL, an orchestrator and two nodes as processes of their own;
 * then the quickstart's job on them. Started by scripts/dev-real.mjs, which installs and builds first.
 *
 *   npm run dev:real -- [--exit] [--data DIR]
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runJobOn, type QuickstartTarget } from '../src/cli/quickstart/quickstart.ts';
import { Screen } from '../src/cli/screen.ts';
import { systemClock } from '../src/domain/clock.ts';
import type { TelemetryEvent } from '../src/domain/event.ts';
import { connectRabbitMq } from '../src/platform/broker/rabbitmq/rabbitmq-broker.ts';
import { startServices, type RunningServices } from './services/start.ts';
import { startWrit, type RunningWrit } from './services/writ.ts';

const { values } = parseArgs({
  options: { exit: { type: 'boolean', default: false }, data: { type: 'string', default: '.services' } },
});
const startedMs = performance.now();
const screen = new Screen(
  { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, clock: systemClock, folder: process.cwd() },
  { json: false, wantsColors: true },
);
const stopped = new Promise<void>((stop) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stop();
    });
  }
});
let services: RunningServices | undefined;
let writ: RunningWrit | undefined;
try {
  const data = resolve(values.data);
  screen.note('Starting PostgreSQL, RabbitMQ and OpenBao …');
  services = await startServices(data, {});
  screen.note('Starting an orchestrator and two nodes …');
  const dir = join(data, 'writ');
  writ = await startWrit({
    ...{ services, dir, isTls: true },
    nodes: ['node-1', 'node-2'],
    settings: { HEARTBEAT_INTERVAL_S: '2' },
  });
  const target = targetOf(writ, services, dir);
  screen.note(`Ready at ${target.url} after ${((performance.now() - startedMs) / 1000).toFixed(1)} s.\n`);
  const holds = await runJobOn(target, screen);
  process.exitCode = holds ? 0 : 1;
  screen.note(`\nAll of that in ${((performance.now() - startedMs) / 1000).toFixed(1)} s.`);
  if (!values.exit) {
    screen.note(`Writ serves on. In another terminal:\n\n${hints(writ)}\nCtrl-C stops everything.`);
    const waiting = setInterval(() => undefined, 60_000);
    await stopped;
    clearInterval(waiting);
  }
} catch (error) {
  console.error(`dev:real: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  await writ?.stop();
  await services?.stop();
}

/** The same job as the quickstart's, over TLS. */
function targetOf(
  writ: RunningWrit,
  { rabbitMq, openBao, postgres }: RunningServices,
  dataDir: string,
): QuickstartTarget {
  const { url, ca, adminToken, policyPath } = writ;
  return {
    ...{ url, adminToken, policyPath, dataDir },
    ...(ca === undefined ? {} : { caCert: ca.pem }),
    places: {
      httpsUrl: url.replace('localhost', '127.0.0.1'),
      ports: [['PostgreSQL', postgres.port]],
      tlsPorts: [['OpenBao', Number(new URL(openBao.url).port)]],
    },
    tail: (onEvent, signal) => consume(rabbitMq, onEvent, signal),
  };
}

/** Reads the queue of events as a consumer of its own, with the rights of one. */
async function consume(
  rabbitMq: RunningServices['rabbitMq'],
  onEvent: (event: TelemetryEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { certPath, keyPath } = rabbitMq.certificate('writ-consumer');
  const [ca, cert, key] = await Promise.all([rabbitMq.caPath, certPath, keyPath].map((path) => readFile(path, 'utf8')));
  const broker = await connectRabbitMq({
    url: rabbitMq.url,
    tls: () => ({ ca: ca ?? '', cert: cert ?? '', key: key ?? '' }),
    name: 'quickstart consumer',
    random: Math.random,
    log: () => undefined,
  });
  const consumer = await broker.consume('telemetry.events', {
    prefetch: 64,
    onDeliveries: (deliveries) => {
      for (const { body } of deliveries) onEvent(JSON.parse(Buffer.from(body).toString()) as TelemetryEvent);
      consumer.ack(deliveries);
    },
    onCancelled: () => undefined,
  });
  if (!signal.aborted) await once(signal, 'abort');
  await broker.close();
}

function hints({ url, tokenPath, ca }: RunningWrit): string {
  return [
    `  export WRIT_URL=${url} WRIT_TOKEN_FILE=${tokenPath} WRIT_CACERT=${ca?.path ?? ''}`,
    '  ./bin/writ nodes',
    '  ./bin/writ submit noop.run --wait',
    '  ./bin/writ keys list',
    '',
  ].join('\n');
}
