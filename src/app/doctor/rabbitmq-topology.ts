/** What is on RabbitMQ, compared with what Writ declares there, and what its user may do. */

import { randomUUID } from 'node:crypto';
import type { Topology } from '../../domain/broker.ts';
import { AppError } from '../../domain/error.ts';
import { epochQueue, nodeQueue } from '../../domain/queues.ts';
import { receiptsTopology } from '../../engine/orchestrator-engine.ts';
import type { Difference, RabbitMqInspection } from '../../platform/broker/rabbitmq/inspection.ts';
import type { Settings } from '../../settings/settings.ts';
import { telemetryTopology, type Feed, type TelemetryNames } from '../../telemetry/feeds.ts';
import { vhostOf } from '../rabbitmq.ts';
import type { Examination } from './finding.ts';

/** What an orchestrator of these settings declares, but for the queues of nodes. */
export function wantedTopology(settings: Settings): Topology {
  const names: TelemetryNames = {
    exchange: settings.telemetry_exchange,
    routingKey: settings.telemetry_routing_key,
    queue: settings.telemetry_queue,
    deadLetterQueue: settings.telemetry_dlq,
  };
  const feeds: Feed[] = settings.telemetry_feeds === 'both' ? ['events', 'batches'] : [settings.telemetry_feeds];
  const telemetry = telemetryTopology(names, feeds);
  return {
    exchanges: [...receiptsTopology.exchanges, ...telemetry.exchanges],
    queues: [...receiptsTopology.queues, ...telemetry.queues],
    bindings: [...receiptsTopology.bindings, ...telemetry.bindings],
  };
}

/** Compares; what is not there is not made. */
export async function examineTopology(
  examination: Examination,
  settings: Settings,
  inspection: RabbitMqInspection,
): Promise<void> {
  const { exchanges, queues } = wantedTopology(settings);
  const vhost = vhostOf(settings.rabbitmq_url);
  const tell = (kind: 'exchange' | 'queue', name: string, differences: Difference[] | undefined): void => {
    const check = `${kind} ${name}`;
    if (differences === undefined) {
      examination.warn(check, `RabbitMQ has no ${kind} ${name}.`, 'writ serve makes it when it starts.');
    } else if (differences.length === 0) {
      examination.ok(check, `The ${kind} ${name} is as it has to be.`);
    } else {
      examination.fail(check, describe(kind, name, differences), remedy(kind, name, vhost));
    }
  };
  for (const exchange of exchanges) {
    await guarded(examination, `exchange ${exchange.name}`, async () => {
      tell('exchange', exchange.name, await inspection.compareExchange(exchange));
    });
  }
  for (const queue of queues) {
    await guarded(examination, `queue ${queue.name}`, async () => {
      tell('queue', queue.name, await inspection.compareQueue(queue));
    });
  }
}

function describe(kind: 'exchange' | 'queue', name: string, differences: readonly Difference[]): string {
  const type = differences.find(({ argument }) => argument === 'x-queue-type' || argument === 'type');
  const parts: string[] = [];
  if (type !== undefined) {
    // A queue that was declared without a type is a classic one.
    parts.push(
      `The ${kind} ${name} is a ${type.present ?? 'classic'} ${kind} and has to be a ${type.wanted ?? ''} one`,
    );
  }
  for (const { argument, wanted, present } of differences) {
    if (argument === type?.argument) continue;
    const is = `${argument} is ${present === undefined ? 'not set' : `"${present}"`}`;
    const has = wanted === undefined ? 'must not be set' : `has to be "${wanted}"`;
    parts.push(parts.length === 0 ? `The ${kind} ${name} differs: ${is} and ${has}` : `${is} and ${has}`);
  }
  return `${parts.join('; ')}. writ serve cannot start with it.`;
}

function remedy(kind: 'exchange' | 'queue', name: string, vhost: string): string {
  if (kind === 'exchange') {
    return `Stop Writ, delete the exchange ${name} on the management page, and start writ serve, which makes it as it has to be.`;
  }
  return `Have what is in it consumed, delete it (rabbitmqctl delete_queue ${name} -p ${vhost}), and start writ serve, which makes it as it has to be.`;
}

/** Tries each right where that has no effect: on names that nobody has. */
export async function examineRights(
  examination: Examination,
  settings: Settings,
  inspection: RabbitMqInspection,
): Promise<void> {
  const check = 'rabbitmq rights';
  const { bindings, exchanges } = wantedTopology(settings);
  const refused: string[] = [];
  const attempt = async (act: () => Promise<void>): Promise<boolean> => {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'forbidden') throw error;
      refused.push(error.message);
      return false;
    }
  };
  for (const name of [nodeQueue(randomUUID()), epochQueue(randomUUID())]) {
    await attempt(() => inspection.probeConfigure(name));
  }
  const readable = new Set(exchanges.map(({ name }) => name));
  for (const { queue, exchange } of bindings) {
    if (!(await attempt(() => inspection.probeBinding(queue, exchange)))) readable.delete(exchange);
  }
  for (const name of readable) await attempt(() => inspection.probeWrite(name));
  await attempt(() => inspection.probeDefaultExchange());
  for (const message of new Set(refused)) {
    examination.fail(check, message, 'Give the user its rights: rabbitmq/definitions.json, rabbitmq/README.md.');
  }
  if (refused.length === 0) examination.ok(check, 'The user of the client certificate may do what it needs.');
}

/** What RabbitMQ refuses is told, and the next question goes on. */
async function guarded(examination: Examination, check: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'forbidden') throw error;
    examination.fail(check, error.message, 'Give the user its rights: rabbitmq/definitions.json, rabbitmq/README.md.');
  }
}
