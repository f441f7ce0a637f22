/** A broker inside the process, with the semantics of RabbitMQ: exchanges and queues that any number of connections share. */

import type { Broker, Death, OutgoingMessage, PublishOutcome, QueueSpec, Topology } from '../../../domain/broker.ts';
import { systemClock, type Clock } from '../../../domain/clock.ts';
import { bodyMaxBytes, isEncodable, topologyConflict, topologyMissing } from '../properties.ts';
import { InProcessConnection } from './connection.ts';
import { deadLetter, deadLetterAddress, isAutomaticCycle } from './dead-letter.ts';
import { Exchange } from './exchange.ts';
import { costOf, storeMessage, type StoredMessage } from './message.ts';
import { InProcessQueue, type QueueHost } from './queue.ts';
import { checkExchangeName, checkQueueSpec, sameQueueSpec } from './topology.ts';

export interface InProcessBrokerOptions {
  /** Longest body of a message; a longer one is refused `too_large`. */
  messageMaxBytes?: number;
  /** Of all bodies and their overhead together; a publish beyond is refused `memory`. */
  memoryMaxBytes?: number;
  clock?: Clock;
}

interface Grave {
  message: StoredMessage;
  spec: QueueSpec;
  reason: Death['reason'];
}

const confirmed: PublishOutcome = Object.freeze({ outcome: 'confirmed' });
const returned: PublishOutcome = Object.freeze({ outcome: 'returned', reason: 'no_route' });

/**
 * Holds exchanges, queues and messages, as a RabbitMQ server does; `connect` gives a connection to them. Messages live
 * in memory only and end with the process.
 */
export class InProcessBrokerServer {
  readonly #messageMaxBytes: number;
  readonly #memoryMaxBytes: number;
  readonly #exchanges = new Map<string, Exchange<InProcessQueue>>();
  readonly #queues = new Map<string, InProcessQueue>();
  readonly #connections = new Set<InProcessConnection>();
  readonly #host: QueueHost;
  #memoryBytes = 0;
  #lastTag = 0;
  #graves: Grave[] = [];

  constructor(options: InProcessBrokerOptions = {}) {
    const clock = options.clock ?? systemClock;
    this.#messageMaxBytes = options.messageMaxBytes ?? bodyMaxBytes;
    this.#memoryMaxBytes = options.memoryMaxBytes ?? 256 * 1024 * 1024;
    this.#host = {
      nowMs: () => clock.monotonicMs(),
      nextTag: () => ++this.#lastTag,
      release: (message) => {
        this.#release(message);
      },
      bury: (message, spec, reason) => {
        this.#buryLater({ message, spec, reason });
      },
    };
  }

  /** What all messages count together against the memory limit, in bytes. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** A connection of its own: closing it ends its consumers and no other's. */
  connect(): Broker {
    const connection = new InProcessConnection(this, () => this.#connections.delete(connection));
    this.#connections.add(connection);
    return connection;
  }

  /** Ends a connection as if its network were gone: its owner is not asked, and its consumers are told nothing. */
  sever(broker: Broker): void {
    for (const connection of this.#connections) if (connection === broker) connection.end();
  }

  /** Ends all connections and drops all messages. */
  close(): void {
    for (const connection of [...this.#connections]) connection.end();
    for (const name of [...this.#queues.keys()]) this.deleteQueue(name);
    this.#exchanges.clear();
  }

  /** As `Broker.declare`. What was made before a conflict was met stays, as in AMQP. */
  declare(topology: Topology): void {
    for (const { name, type } of topology.exchanges) {
      checkExchangeName(name);
      const existing = this.#exchanges.get(name);
      if (existing === undefined) this.#exchanges.set(name, new Exchange(type));
      else if (existing.type !== type) throw topologyConflict('exchange', name);
    }
    for (const spec of topology.queues) {
      checkQueueSpec(spec);
      const existing = this.#queues.get(spec.name);
      if (existing === undefined) this.#queues.set(spec.name, new InProcessQueue(spec, this.#host));
      else if (!sameQueueSpec(existing.spec, spec)) throw topologyConflict('queue', spec.name);
    }
    for (const { exchange: name, queue, pattern } of topology.bindings) {
      const exchange = this.#exchanges.get(name);
      if (exchange === undefined) throw topologyMissing('exchange', name);
      exchange.bind(this.findQueue(queue), pattern);
    }
  }

  /** As `Broker.deleteQueue`. */
  deleteQueue(name: string): void {
    const queue = this.#queues.get(name);
    if (queue === undefined) return;
    this.#queues.delete(name);
    for (const exchange of this.#exchanges.values()) exchange.unbindAll(queue);
    queue.delete('queue_deleted');
  }

  /** Fails `not_found` where no such queue exists. */
  findQueue(name: string): InProcessQueue {
    const queue = this.#queues.get(name);
    if (queue === undefined) throw topologyMissing('queue', name);
    return queue;
  }

  /** Routes one message into its queues, at once; never throws for what the message is. */
  publish(message: OutgoingMessage): PublishOutcome {
    if (message.body.byteLength > this.#messageMaxBytes) return refused('too_large');
    if (!isEncodable(message)) return refused('invalid');
    const queues = this.#route(message.exchange, message.routingKey);
    if (queues === undefined) return refused('no_exchange');
    if (queues.length === 0) return message.mandatory === false ? confirmed : returned;
    if (this.#memoryBytes + costOf(message.body) > this.#memoryMaxBytes) return refused('memory');
    let stored: StoredMessage | undefined;
    let outcome = confirmed;
    for (const queue of queues) {
      if (queue.isFull()) {
        outcome = refused('queue_full');
        continue;
      }
      stored ??= this.#store(storeMessage(message));
      queue.add(stored);
    }
    return outcome;
  }

  /** Undefined where the exchange does not exist. The default exchange routes to the queue of the key's name. */
  #route(exchange: string, routingKey: string): readonly InProcessQueue[] | undefined {
    if (exchange !== '') return this.#exchanges.get(exchange)?.route(routingKey);
    const queue = this.#queues.get(routingKey);
    return queue === undefined ? [] : [queue];
  }

  #store(message: StoredMessage): StoredMessage {
    this.#memoryBytes += message.costBytes;
    return message;
  }

  #release(message: StoredMessage): void {
    if (--message.holders === 0) this.#memoryBytes -= message.costBytes;
  }

  /** Dead letters go on in a turn of their own: a queue may be its own dead-letter queue. */
  #buryLater(grave: Grave): void {
    if (deadLetterAddress(grave.spec, grave.message) === undefined) return;
    grave.message.holders++;
    if (this.#graves.push(grave) > 1) return;
    setImmediate(() => {
      const graves = this.#graves;
      this.#graves = [];
      for (const each of graves) this.#bury(each);
    });
  }

  /**
   * A dead letter passes the memory limit, and where it comes from a quorum queue a queue's length too: RabbitMQ's
   * at-least-once dead-lettering would keep it in the queue that it died in, which is the same memory.
   */
  #bury({ message, spec, reason }: Grave): void {
    const address = deadLetterAddress(spec, message);
    const queues = address === undefined ? undefined : this.#route(address.exchange, address.routingKey);
    if (address !== undefined && queues !== undefined) {
      const letter = deadLetter(message, address, spec.name, reason);
      const targets = queues.filter(
        (queue) => (spec.type === 'quorum' || !queue.isFull()) && !isAutomaticCycle(letter.deaths, queue.spec.name),
      );
      if (targets.length > 0) this.#store(letter);
      for (const queue of targets) queue.add(letter);
    }
    this.#release(message);
  }
}

function refused(reason: string): PublishOutcome {
  return { outcome: 'refused', reason };
}
