/** Looks at a RabbitMQ and leaves it as it is: what is there, in what form, and what its user may do. */

import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, Options } from 'amqplib';
import type { QueueSpec, Topology } from '../../../domain/broker.ts';
import { AppError } from '../../../domain/error.ts';
import { closeQuietly } from './close.ts';
import { channelFailure, connectFailure, isConflict, isNotFound, replyCodeOf } from './failure.ts';
import { openModel, parseAddress, versionOf, type LinkOptions } from './link.ts';
import { queueArguments, withChannel } from './topology.ts';

/** An argument of a queue or exchange that is not as it has to be; undefined stands for one that is not given. */
export interface Difference {
  argument: string;
  wanted: string | undefined;
  present: string | undefined;
}

type Exchange = Topology['exchanges'][number];

/** A queue has fewer arguments. */
const differencesMax = 12;

/** Owns one connection, which is not made anew. All methods fail `forbidden` where RabbitMQ refuses, and `unavailable`. */
export class RabbitMqInspection {
  readonly #model: ChannelModel;

  private constructor(model: ChannelModel) {
    this.#model = model;
  }

  /** Fails as `connectFailure` says. */
  static async open(options: Pick<LinkOptions, 'url' | 'tls' | 'name'>): Promise<RabbitMqInspection> {
    try {
      return new RabbitMqInspection(await openModel(parseAddress(options.url), options));
    } catch (error) {
      throw connectFailure(error);
    }
  }

  get version(): string {
    return versionOf(this.#model);
  }

  /** In what the exchange differs; undefined where there is none. */
  async compareExchange({ name, type }: Exchange): Promise<Difference[] | undefined> {
    if (!(await this.#isThere((channel) => channel.checkExchange(name)))) return undefined;
    const difference = await this.#differs((channel) => channel.assertExchange(name, type, { durable: true }));
    return difference === undefined ? [] : [difference];
  }

  /** In what the queue differs; undefined where there is none. */
  async compareQueue(spec: QueueSpec): Promise<Difference[] | undefined> {
    const { name } = spec;
    if (!(await this.#isThere((channel) => channel.checkQueue(name)))) return undefined;
    const asked: Options.AssertQueue = { durable: true, arguments: queueArguments(spec) };
    const differences: Difference[] = [];
    // RabbitMQ names the first difference alone: with that one out of the way it names the next.
    while (differences.length < differencesMax) {
      const difference = await this.#differs((channel) => channel.assertQueue(name, asked));
      if (difference === undefined || differences.some(({ argument }) => argument === difference.argument)) break;
      differences.push(difference);
      if (difference.argument === 'exclusive') break;
      adapt(asked, difference);
    }
    return differences;
  }

  /** Whether the user may make a queue of the name, which no queue may have: taking away what is not there needs the same right. */
  async probeConfigure(name: string): Promise<void> {
    await this.#try('configure', (channel) => channel.deleteQueue(name, { ifEmpty: true, ifUnused: true }));
  }

  /** Whether the user may bind the queue (write) to the exchange (read); takes away a binding that is not there. */
  async probeBinding(queue: string, exchange: string): Promise<void> {
    await this.#try('', (channel) => channel.unbindQueue(queue, exchange, `doctor.${randomUUID()}`));
  }

  /** Whether the user may publish to the exchange, where it may read it; as above. */
  async probeWrite(exchange: string): Promise<void> {
    await this.#try('write', (channel) => channel.unbindExchange(exchange, exchange, `doctor.${randomUUID()}`));
  }

  /** Whether the user may publish to queues by their names: one message to a queue that is not there. */
  async probeDefaultExchange(): Promise<void> {
    try {
      const channel = await this.#model.createConfirmChannel();
      channel.on('error', () => undefined);
      await new Promise<void>((resolve, reject) => {
        channel.once('error', reject);
        channel.once('close', reject);
        channel.publish('', `doctor.${randomUUID()}`, Buffer.alloc(0), { mandatory: true }, (error: unknown) => {
          // An error that ends the channel comes by itself, with its reason.
          if (error === null) resolve();
        });
      });
      await closeQuietly(channel);
    } catch (error) {
      throw refusal(error, 'write') ?? channelFailure(error, () => undefined);
    }
  }

  async close(): Promise<void> {
    await closeQuietly(this.#model);
  }

  async #isThere(check: (channel: Channel) => Promise<unknown>): Promise<boolean> {
    try {
      await withChannel(this.#model, check);
      return true;
    } catch (error) {
      const code = replyCodeOf(error);
      if (isNotFound(code)) return false;
      // It is there, and another connection's own: the next question tells so.
      if (isConflict(code)) return true;
      throw refusal(error, '') ?? channelFailure(error, () => undefined);
    }
  }

  async #differs(declare: (channel: Channel) => Promise<unknown>): Promise<Difference | undefined> {
    try {
      await withChannel(this.#model, declare);
      return undefined;
    } catch (error) {
      const difference = isConflict(replyCodeOf(error)) ? readDifference(error) : undefined;
      if (difference !== undefined) return difference;
      throw refusal(error, 'configure') ?? channelFailure(error, () => undefined);
    }
  }

  async #try(right: string, act: (channel: Channel) => Promise<unknown>): Promise<void> {
    try {
      await withChannel(this.#model, act);
    } catch (error) {
      // What is not there could have been bound, had it been there.
      if (isNotFound(replyCodeOf(error))) return;
      throw refusal(error, right) ?? channelFailure(error, () => undefined);
    }
  }
}

/** Asks for what is there. */
function adapt(asked: Options.AssertQueue, { argument, present }: Difference): void {
  if (argument === 'durable') asked.durable = present === 'true';
  else if (argument === 'auto_delete') asked.autoDelete = present === 'true';
  else {
    const others = Object.entries(asked.arguments as Record<string, unknown>).filter(([name]) => name !== argument);
    const values = Object.fromEntries(others);
    if (present !== undefined) values[argument] = /^\d+$/.test(present) ? Number(present) : present;
    asked.arguments = values;
  }
}

/** RabbitMQ's text of a `PRECONDITION_FAILED`: `inequivalent arg 'x' for queue …: received 'a' but current is 'b'`. */
function readDifference(error: unknown): Difference | undefined {
  const text = textOf(error);
  if (text.includes('RESOURCE_LOCKED')) return { argument: 'exclusive', wanted: 'false', present: 'true' };
  const [, argument, wanted, present] =
    /inequivalent arg '([^']+)' for .+: received (.+) but current is (.+?)"?$/s.exec(text) ?? [];
  if (argument === undefined || wanted === undefined || present === undefined) return undefined;
  return { argument, wanted: readValue(wanted), present: readValue(present) };
}

/** `none`, `'quorum'`, or `the value 'quorum' of type 'longstr'`. */
function readValue(text: string): string | undefined {
  return text === 'none' ? undefined : (/^(?:the value )?'(.*?)'(?: of type '\w+')?$/s.exec(text)?.[1] ?? text);
}

/** RabbitMQ's text of an `ACCESS_REFUSED`: `access to queue 'x' in vhost '/' refused for user 'y'`. */
function refusal(error: unknown, right: string): AppError | undefined {
  const match = /access to (queue|exchange) '(.*?)' in vhost '.*?' refused for user '(.*?)'/s.exec(textOf(error));
  if (match === null) return undefined;
  const [, kind = '', name = '', user = ''] = match;
  const known = right === '' ? (kind === 'queue' ? 'write' : 'read') : right;
  return new AppError(
    'forbidden',
    `RabbitMQ refuses the user ${user} the right "${known}" on the ${kind} ${name}.`,
    { reason: 'broker_forbidden' },
    error,
  );
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}
