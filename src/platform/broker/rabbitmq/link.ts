/** One connection to RabbitMQ over mutual TLS, made anew with backoff whenever it ends. */

import type { ConnectionOptions } from 'node:tls';
import { connect, credentials, type ChannelModel, type Options } from 'amqplib';
import { AppError } from '../../../domain/error.ts';
import { closedError } from '../properties.ts';
import { closeQuietly } from './close.ts';
import { connectFailure } from './failure.ts';

const connectTimeoutMs = 10_000;
/** RabbitMQ and client take each other for gone after two of these. */
const heartbeatS = 10;
const backoffInitialMs = 100;
const backoffMaxMs = 10_000;
/** Loggers may be slow: a broker that stays away is told of once in so many tries. */
const logEvery = 30;

/** What a client proves itself with, all PEM. */
export interface RabbitMqTls {
  /** Authorities that may have signed RabbitMQ's certificate. */
  ca: string;
  cert: string;
  key: string;
  passphrase?: string | undefined;
  /** Name to look for in RabbitMQ's certificate; the host of the address where it is absent. */
  servername?: string | undefined;
}

export interface LinkOptions {
  /** `amqps://host:port/vhost`. */
  url: string;
  /** Asked before each connection, so that a renewed certificate is used by the next. */
  tls: () => RabbitMqTls;
  /** Name of the connection in RabbitMQ's own lists. */
  name: string;
  random: () => number;
  log: (event: string, fields: Record<string, string | number>) => void;
}

export interface LinkHandlers {
  /** Prepares a new connection; it counts as there when this has resolved. */
  onOpen: (model: ChannelModel) => Promise<void>;
  /** The connection is gone; called once for each that was there. */
  onLost: () => void;
}

/** Owns the socket. Invariant: `model` is there exactly while RabbitMQ answers and the connection is prepared. */
export class RabbitMqLink {
  readonly #options: LinkOptions;
  readonly #address: ReturnType<typeof parseAddress>;
  readonly #handlers: LinkHandlers;
  #model: ChannelModel | undefined;
  #failure: AppError | undefined;
  #blockedBy: string | undefined;
  #isClosed = false as boolean;
  #wakeUp: () => void = () => undefined;

  constructor(options: LinkOptions, handlers: LinkHandlers) {
    this.#options = options;
    this.#address = parseAddress(options.url);
    this.#handlers = handlers;
  }

  /** Resolves after the first try, whatever came of it; goes on trying until `close`. */
  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      void this.#run(resolve);
    });
  }

  get model(): ChannelModel | undefined {
    return this.#model;
  }

  /** Why the last try failed; undefined while the connection is there. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /** Why RabbitMQ takes no messages at present (memory, disk); undefined while it does. */
  get blockedBy(): string | undefined {
    return this.#blockedBy;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What to answer while there is no connection. */
  unavailable(): AppError {
    if (this.#isClosed) return closedError();
    return new AppError(
      'unavailable',
      'RabbitMQ is away.',
      { reason: 'broker_unreachable', retryAfterS: 1 },
      this.#failure,
    );
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#wakeUp();
    // A try to connect that is under way ends by itself, with nothing kept.
    if (this.#model !== undefined) await closeQuietly(this.#model);
  }

  async #run(onFirstTry: () => void): Promise<void> {
    let failures = 0;
    while (!this.#isClosed) {
      try {
        const { model, gone } = await this.#connect();
        failures = 0;
        onFirstTry();
        await gone;
        this.#lose(model);
      } catch (error) {
        this.#failure = connectFailure(error);
        if (failures++ % logEvery === 0) {
          this.#options.log('broker.unreachable', { reason: this.#failure.reason, message: this.#failure.message });
        }
        onFirstTry();
      }
      await this.#pause(failures);
    }
  }

  /** `gone` resolves when the connection has ended, which may be before this does. */
  async #connect(): Promise<{ model: ChannelModel; gone: Promise<void> }> {
    const model = await openModel(this.#address, this.#options);
    const gone = ended(model);
    model.on('blocked', (reason) => {
      this.#blockedBy = reason;
    });
    model.on('unblocked', () => {
      this.#blockedBy = undefined;
    });
    try {
      await this.#handlers.onOpen(model);
      if (this.#isClosed) throw closedError();
    } catch (error) {
      await closeQuietly(model);
      throw error;
    }
    this.#model = model;
    this.#failure = undefined;
    this.#options.log('broker.connected', { version: versionOf(model) });
    return { model, gone };
  }

  #lose(model: ChannelModel): void {
    if (this.#model !== model) return;
    this.#model = undefined;
    this.#blockedBy = undefined;
    if (!this.#isClosed) this.#options.log('broker.lost', {});
    this.#handlers.onLost();
  }

  /** Full jitter: many clients that lose one broker do not come back in one moment. */
  async #pause(failures: number): Promise<void> {
    if (this.#isClosed) return;
    const boundMs = Math.min(backoffMaxMs, backoffInitialMs * 2 ** Math.min(failures, 20));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, boundMs * this.#options.random());
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One connection, which whoever opens it watches over. Fails as the layers below do: `connectFailure` tells it in words. */
export async function openModel(
  address: ReturnType<typeof parseAddress>,
  { tls, name }: Pick<LinkOptions, 'tls' | 'name'>,
): Promise<ChannelModel> {
  const model = await connect(address, {
    ...tlsOptions(tls()),
    credentials: credentials.external(),
    clientProperties: { connection_name: name, product: 'Writ' },
    ...{ timeout: connectTimeoutMs, noDelay: true, keepAlive: true, keepAliveDelay: 30_000 },
  });
  // What ends a connection arrives as `close` too; without a listener an error would end the process.
  model.on('error', () => undefined);
  return model;
}

/** How Writ speaks TLS to RabbitMQ. */
export function tlsOptions({ ca, cert, key, passphrase, servername }: RabbitMqTls): ConnectionOptions {
  return {
    ...{ ca, cert, key, minVersion: 'TLSv1.2', rejectUnauthorized: true },
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(servername === undefined ? {} : { servername }),
  };
}

function ended(model: ChannelModel): Promise<void> {
  return new Promise((resolve) => {
    model.once('close', () => {
      resolve();
    });
  });
}

/** The version that RabbitMQ tells of itself. */
export function versionOf(model: ChannelModel): string {
  return model.connection.serverProperties.version;
}

/** Reads `amqps://host:port/vhost`. Fails `invalid` for anything but TLS, and for credentials in the address. */
export function parseAddress(text: string): Options.Connect & { hostname: string; port: number; vhost: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'amqps:' || url.hostname === '') {
    throw new AppError(
      'invalid',
      'RABBITMQ_URL must be of the form amqps://HOST:PORT/VHOST: Writ speaks to RabbitMQ over TLS only.',
      { reason: 'broker_url_refused' },
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new AppError('invalid', 'RABBITMQ_URL holds a user or a password. The client certificate says who it is.', {
      reason: 'broker_url_refused',
    });
  }
  const path = decoded(url.pathname.slice(1));
  return {
    protocol: 'amqps',
    hostname: url.hostname.replaceAll(/[[\]]/g, ''),
    port: url.port === '' ? 5671 : Number(url.port),
    vhost: path === '' ? '/' : path,
    heartbeat: heartbeatS,
    username: '',
    password: '',
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AppError('invalid', 'The virtual host in RABBITMQ_URL is not well-formed: write "/" in a name as %2F.', {
      reason: 'broker_url_refused',
    });
  }
}
