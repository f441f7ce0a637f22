/** One connection to the in-process broker. */

import type {
  Broker,
  Consumer,
  ConsumerOptions,
  OutgoingMessage,
  PublishOutcome,
  Topology,
} from '../../../domain/broker.ts';
import { checkPrefetch, closedError } from '../properties.ts';
import { InProcessConsumer } from './consumer.ts';
import type { InProcessQueue } from './queue.ts';

/** The broker at the other end of the connection. */
export interface ConnectionServer {
  declare(topology: Topology): void;
  deleteQueue(name: string): void;
  /** Fails `not_found`. */
  findQueue(name: string): InProcessQueue;
  publish(message: OutgoingMessage): PublishOutcome;
}

interface OpenPublish {
  outcomes: PublishOutcome[];
  resolve: (outcomes: PublishOutcome[]) => void;
}

const unconfirmed: PublishOutcome = Object.freeze({ outcome: 'unconfirmed', reason: 'connection_closed' });

/**
 * Publishes reach the queues at once; their confirms come in a later turn of the event loop, so that a publisher that
 * does nothing but publish still lets consumers run, and a close in between leaves them unconfirmed, as a network does.
 */
export class InProcessConnection implements Broker {
  readonly #server: ConnectionServer;
  readonly #onEnd: () => void;
  readonly #consumers = new Set<InProcessConsumer>();
  #open: OpenPublish[] = [];
  #isClosed = false;

  constructor(server: ConnectionServer, onEnd: () => void) {
    this.#server = server;
    this.#onEnd = onEnd;
  }

  async declare(topology: Topology): Promise<void> {
    this.#checkOpen();
    this.#server.declare(topology);
    await Promise.resolve();
  }

  async deleteQueue(name: string): Promise<void> {
    this.#checkOpen();
    this.#server.deleteQueue(name);
    await Promise.resolve();
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    this.#checkOpen();
    const outcomes = messages.map((message) => this.#server.publish(message));
    return new Promise((resolve) => {
      if (this.#open.push({ outcomes, resolve }) === 1) {
        setImmediate(() => {
          this.#confirm();
        });
      }
    });
  }

  async consume(queue: string, options: ConsumerOptions): Promise<Consumer> {
    this.#checkOpen();
    checkPrefetch(options.prefetch);
    const found = this.#server.findQueue(queue);
    const consumer = new InProcessConsumer(found, options, (ended) => this.#consumers.delete(ended));
    this.#consumers.add(consumer);
    found.addConsumer(consumer);
    return Promise.resolve(consumer);
  }

  async depth(queue: string): Promise<number> {
    this.#checkOpen();
    return Promise.resolve(this.#server.findQueue(queue).depth());
  }

  health(): Promise<{ ok: boolean; detail?: string }> {
    return Promise.resolve(this.#isClosed ? { ok: false, detail: 'the connection is closed' } : { ok: true });
  }

  close(): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  /** The connection is over, by whomever: what is out goes back to its queues, open publishes are answered. */
  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const giveBacks = [...this.#consumers].map((consumer) => consumer.disconnect());
    this.#consumers.clear();
    for (const giveBack of giveBacks) giveBack();
    const open = this.#open;
    this.#open = [];
    for (const { outcomes, resolve } of open) resolve(outcomes.map(() => unconfirmed));
    this.#onEnd();
  }

  #confirm(): void {
    const open = this.#open;
    this.#open = [];
    for (const { outcomes, resolve } of open) resolve(outcomes);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw closedError();
  }
}
