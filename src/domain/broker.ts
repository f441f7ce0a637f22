/** The port to a message broker, with the semantics of AMQP 0-9-1 as RabbitMQ gives them. */

/** A queue to declare. Declaring it again with the same arguments changes nothing; with others it fails `conflict`. */
export interface QueueSpec {
  name: string;
  /** `quorum` where losing a message matters; `classic` otherwise. */
  type: 'quorum' | 'classic';
  /** Messages older than this are dead-lettered with reason `expired`, or dropped. */
  messageTtlMs?: number;
  /** At most so many ready messages; a publish beyond is refused (`reject-publish`). */
  maxLength?: number;
  /** At most so many redeliveries, then dead-lettered with reason `delivery_limit`; without it, no limit. */
  deliveryLimit?: number;
  /** Exchange that takes rejected and expired messages. */
  deadLetterExchange?: string;
  deadLetterRoutingKey?: string;
}

export interface Topology {
  exchanges: { name: string; type: 'topic' | 'direct' }[];
  queues: QueueSpec[];
  /** `pattern` is a routing key, with `*` and `#` on topic exchanges. */
  bindings: { exchange: string; queue: string; pattern: string }[];
}

export interface OutgoingMessage {
  /** `''` is the default exchange: the routing key is the queue's name. */
  exchange: string;
  routingKey: string;
  body: Buffer;
  messageId: string;
  type: string;
  contentType: string;
  headers?: Record<string, string | number>;
  /** The message expires in its queue after this time. */
  expirationMs?: number;
  /** Returned when no queue takes it; without it such a message is dropped and confirmed. Default true. */
  mandatory?: boolean;
  /** Whether it outlives a restart of the broker, where its queue does. Default true. */
  persistent?: boolean;
}

/**
 * What became of one published message. `confirmed`: every queue that it was routed to has it. `returned`: no queue
 * takes it. `refused`: the broker said no (queue full, message too large). `unconfirmed`: the connection ended first;
 * the broker may or may not have it.
 */
export interface PublishOutcome {
  outcome: 'confirmed' | 'returned' | 'refused' | 'unconfirmed';
  reason?: string;
}

/** One passage through a dead-letter exchange, newest first, as RabbitMQ's `x-death` tells it. */
export interface Death {
  queue: string;
  reason: 'rejected' | 'expired' | 'maxlen' | 'delivery_limit';
  count: number;
}

export interface Delivery {
  body: Buffer;
  messageId: string;
  type: string;
  contentType: string;
  headers: Record<string, string | number>;
  routingKey: string;
  exchange: string;
  /** True where the broker may have delivered it before. */
  redelivered: boolean;
  deaths: Death[];
  /** Opaque; belongs to the consumer that got it. */
  tag: number;
}

export interface ConsumerOptions {
  /** At most so many deliveries without acknowledgement. */
  prefetch: number;
  /** Called with what has arrived, in the queue's order, never concurrently with itself for synchronous handlers. */
  onDeliveries(deliveries: Delivery[]): void;
  /**
   * The broker ended this consumer (its queue was deleted, its node left, or the connection was lost): no more deliveries
   * come, and what is out goes back to the queue where it still exists. Not called for a connection that its owner closed.
   */
  onCancelled(reason: string): void;
}

export interface Consumer {
  /** Done with these; the broker forgets them. A tag that is not outstanding fails `conflict`. */
  ack(deliveries: readonly Delivery[]): void;
  /** Not done: back to the queue's front (`requeue`), or dead-lettered with reason `rejected`. */
  reject(deliveries: readonly Delivery[], options: { requeue: boolean }): void;
  /** Takes no more; what is outstanding goes back to the queue, marked redelivered. */
  cancel(): Promise<void>;
}

/**
 * A connection to a broker. All methods fail with `unavailable` once it is closed or while the broker is away; where that
 * passes, the connection comes back by itself, with what was declared, and consumers are begun anew by their owners.
 * A process holds one; queues and messages outlive it.
 */
export interface Broker {
  /**
   * Makes what is missing; fails `conflict` where something exists in another form. A connection that comes back makes it again where the
   * broker has lost it, but for what was declared with `once`.
   */
  declare(topology: Topology, options?: { once?: boolean }): Promise<void>;
  /** Takes a queue away; its consumers are cancelled. A queue that is not there is no error. */
  deleteQueue(name: string): Promise<void>;
  /**
   * Publishes in order and answers when the broker has confirmed, one outcome for each message, in order. Never
   * throws for a single message; a connection that ends in the middle gives `unconfirmed` for the rest.
   */
  publish(messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]>;
  consume(queue: string, options: ConsumerOptions): Promise<Consumer>;
  /** Ready messages in a queue, without those that are out with consumers. `not_found` where it does not exist. */
  depth(queue: string): Promise<number>;
  /** Whether the broker answers now. */
  health(): Promise<{ ok: boolean; detail?: string }>;
  /** Ends consumers, answers open publishes, and lets go of the connection. Calling it twice does nothing. */
  close(): Promise<void>;
}
