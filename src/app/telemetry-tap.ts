/** Lets a consumer outside of the process read the in-process broker's telemetry, over a socket of its owner's. */

import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Broker, Consumer, Delivery } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import type { TelemetryEvent } from '../domain/event.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { batchesKey, type Feed } from '../telemetry/feeds.ts';
import { noteConsumed } from '../telemetry/rewind.ts';

/** Longest path that every system takes for a socket. */
const socketPathMax = 100;
const prefetch = 64;
const noteMs = 200;

interface TapOptions {
  dataDir: string;
  /** A connection for each consumer: what one has not acknowledged goes back when it leaves. */
  connect: () => Broker;
  database: Database;
  /** Name of the queue of single events. */
  queue: string;
}

/** A consumer's first line. Then each line `{"ack": tag}` acknowledges a delivery. */
interface Hello {
  feed: Feed;
}

/** One delivery, a line of JSON each. `body` is the message, as text. */
interface TapLine {
  tag: number;
  body: string;
}

export interface TelemetryTap {
  close(): Promise<void>;
}

/** Opens the socket; only the user who runs the process can connect to it. Its path is kept in `DIR/telemetry.path`. */
export async function openTelemetryTap(options: TapOptions): Promise<TelemetryTap> {
  const near = join(options.dataDir, 'telemetry.sock');
  const path = near.length <= socketPathMax ? near : join(await mkdtemp(join(tmpdir(), 'writ-')), 'telemetry.sock');
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const positions = new Positions(options.database);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    void serve(socket, options, positions).catch(() => socket.destroy());
  });
  await listen(server, path);
  await chmod(path, 0o600);
  await writeFile(join(options.dataDir, 'telemetry.path'), path, { mode: 0o600 });
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await positions.close();
      await rm(path === near ? path : dirname(path), { recursive: true, force: true });
    },
  };
}

/** Keeps, for each feed, below which record everything has been acknowledged. */
class Positions {
  readonly #database: Database;
  readonly #outstanding = new Map<Feed, Map<string, number>>();
  readonly #highest = new Map<Feed, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(database: Database) {
    this.#database = database;
    this.#timer = setInterval(() => void this.#note().catch(() => undefined), noteMs);
  }

  delivered(feed: Feed, key: string, seq: number): void {
    const outstanding = this.#outstanding.get(feed) ?? new Map<string, number>();
    this.#outstanding.set(feed, outstanding.set(key, seq));
  }

  acknowledged(feed: Feed, key: string): void {
    const seq = this.#outstanding.get(feed)?.get(key);
    this.#outstanding.get(feed)?.delete(key);
    if (seq !== undefined) this.#highest.set(feed, Math.max(seq, this.#highest.get(feed) ?? 0));
  }

  /** A consumer left: what it had goes to another. */
  returned(feed: Feed, keys: Iterable<string>): void {
    // Until it is delivered again, nothing above may count as consumed: the entries stay.
    for (const key of keys) this.#outstanding.get(feed)?.set(key, this.#outstanding.get(feed)?.get(key) ?? 0);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#note().catch(() => undefined);
  }

  async #note(): Promise<void> {
    for (const [feed, highest] of this.#highest) {
      const least = Math.min(highest, ...(this.#outstanding.get(feed)?.values() ?? []));
      await noteConsumed(this.#database, feed, least);
    }
  }
}

async function serve(socket: Socket, options: TapOptions, positions: Positions): Promise<void> {
  const lines = createInterface({ input: socket, crlfDelay: Infinity });
  const broker = options.connect();
  const held = new Map<number, Delivery>();
  let consumer: Consumer | undefined;
  let feed: Feed = 'events';
  socket.on('close', () => {
    positions.returned(
      feed,
      [...held.values()].map(({ messageId }) => messageId),
    );
    void broker.close();
  });
  for await (const line of lines) {
    const message = JSON.parse(line) as Partial<Hello> & { ack?: number };
    if (consumer === undefined) {
      feed = message.feed === 'batches' ? 'batches' : 'events';
      consumer = await broker.consume(feed === 'batches' ? batchesKey : options.queue, {
        prefetch,
        onDeliveries: (deliveries) => {
          for (const delivery of deliveries) {
            held.set(delivery.tag, delivery);
            positions.delivered(feed, delivery.messageId, lowestSeq(delivery));
            const out: TapLine = { tag: delivery.tag, body: Buffer.from(delivery.body).toString('utf8') };
            socket.write(`${JSON.stringify(out)}\n`);
          }
        },
        onCancelled: () => socket.destroy(),
      });
    } else if (message.ack !== undefined) {
      const delivery = held.get(message.ack);
      if (delivery === undefined) continue;
      held.delete(message.ack);
      consumer.ack([delivery]);
      positions.acknowledged(feed, delivery.messageId);
    }
  }
}

function lowestSeq(delivery: Delivery): number {
  const text = Buffer.from(delivery.body).toString('utf8');
  const [line = ''] = text.split('\n', 1);
  const first = JSON.parse(line) as TelemetryEvent;
  return first.attributes.audit_seq;
}

/**
 * Consumes the telemetry of the `writ dev` whose data lies in `dataDir`, until `signal`: each event is acknowledged when `onEvent` has
 * returned. Fails `unavailable` where none runs there.
 */
export async function tailTelemetry(options: {
  dataDir: string;
  feed: Feed;
  onEvent: (event: TelemetryEvent) => void | Promise<void>;
  signal: AbortSignal;
}): Promise<void> {
  const socket = await connect(options.dataDir);
  let isBusy = false;
  // While an event is in hand, its acknowledgement still goes out before the end.
  const onAbort = (): void => {
    if (!isBusy) socket.end();
  };
  options.signal.addEventListener('abort', onAbort);
  socket.write(`${JSON.stringify({ feed: options.feed } satisfies Hello)}\n`);
  try {
    for await (const line of createInterface({ input: socket, crlfDelay: Infinity })) {
      isBusy = true;
      const { tag, body } = JSON.parse(line) as TapLine;
      for (const text of body.split('\n')) {
        if (text !== '') await options.onEvent(JSON.parse(text) as TelemetryEvent);
      }
      socket.write(`${JSON.stringify({ ack: tag })}\n`);
      isBusy = false;
      if (isAborted(options.signal)) break;
    }
  } finally {
    options.signal.removeEventListener('abort', onAbort);
    socket.end();
  }
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function connect(dataDir: string): Promise<Socket> {
  try {
    const path = await readFile(join(dataDir, 'telemetry.path'), 'utf8');
    return await new Promise((resolve, reject) => {
      const socket = createConnection(path, () => {
        resolve(socket);
      });
      socket.once('error', reject);
    });
  } catch (error) {
    throw new AppError(
      'unavailable',
      `No writ dev runs on ${dataDir}. Start one, or name its folder with --data.`,
      { reason: 'not_running' },
      error,
    );
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      resolve();
    });
  });
}
