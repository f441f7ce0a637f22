/** The HTTP door: listeners with their limits, plain and over TLS, and an orderly close. */

import { createServer as createHttpServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { OnAnswered } from './answered.ts';
import { createApplication } from './application.ts';
import { documentRoutes } from './routes/documents.ts';
import { routeTable } from './routes/table.ts';
import { answerClientError, type OnFailure } from './errors.ts';
import { defaultRateLimits, type RateLimits } from './rate-limit.ts';
import type { Route } from './route.ts';
import type { HttpServices } from './services.ts';

export interface ListenAddress {
  host: string;
  /** 0 takes any that is free. */
  port: number;
}

export interface HttpDoorOptions {
  services: HttpServices;
  /** A listener without TLS. */
  listen?: ListenAddress;
  /** A listener over TLS 1.2 or later; PEM. */
  tls?: ListenAddress & { key: string; cert: string };
  /** Of the program, for the documents. */
  version: string;
  rateLimits?: Partial<RateLimits>;
  trustedProxies?: readonly string[];
  /** Told of failures whose cause callers do not see; for the log. */
  onFailure: OnFailure;
  /** Told of each call that ended, for metrics. */
  onAnswered?: OnAnswered;
  /** Calls in progress get so long when the door closes. Default 5 s. */
  closeGraceMs?: number;
}

export interface HttpDoor {
  /** Begins to answer. Fails where an address is taken. */
  listen(): Promise<void>;
  /** Takes no more calls, lets those in progress end, wakes those that wait. Calling it twice does nothing. */
  close(): Promise<void>;
  /** Where it listens, with the real ports; undefined before `listen`. */
  address(): { url: string | undefined; tlsUrl: string | undefined } | undefined;
  readonly routes: readonly Route[];
}

const headersMaxBytes = 16 * 1024;
const headersTimeoutMs = 60_000;
const requestTimeoutMs = 120_000;
const keepAliveMs = 65_000;
const headersMax = 100;
const connectionsMax = 10_000;
const sweepMs = 20;
const limits = {
  maxHeaderSize: headersMaxBytes,
  headersTimeout: headersTimeoutMs,
  requestTimeout: requestTimeoutMs,
  keepAliveTimeout: keepAliveMs,
  connectionsCheckingInterval: 5_000,
};

/** A door that is not open yet. */
export function createHttpDoor(options: HttpDoorOptions): HttpDoor {
  const { services, tls } = options;
  const closing = new AbortController();
  const described = routeTable(services);
  const routes = [...described, ...documentRoutes(described, options.version)];
  const application = createApplication({
    services,
    routes,
    rateLimits: { ...defaultRateLimits, ...options.rateLimits },
    trustedProxies: options.trustedProxies ?? [],
    closing: closing.signal,
    onFailure: options.onFailure,
    onAnswered: options.onAnswered,
  });
  const plain = options.listen === undefined ? undefined : withLimits(createHttpServer(limits, application));
  const secure =
    tls === undefined
      ? undefined
      : withLimits(createHttpsServer({ ...limits, key: tls.key, cert: tls.cert, minVersion: 'TLSv1.2' }, application));
  let closed: Promise<void> | undefined;

  async function close(): Promise<void> {
    closing.abort();
    services.changes.notifyAll();
    await Promise.all(
      [plain, secure].map(async (server) => {
        if (server !== undefined) await closeServer(server, options.closeGraceMs ?? 5000);
      }),
    );
  }

  return {
    routes,
    listen: async () => {
      if (plain !== undefined && options.listen !== undefined) await listen(plain, options.listen);
      if (secure !== undefined && tls !== undefined) await listen(secure, tls);
    },
    close: () => (closed ??= close()),
    address: () => {
      const url = urlOf('http', plain);
      const tlsUrl = urlOf('https', secure);
      return url === undefined && tlsUrl === undefined ? undefined : { url, tlsUrl };
    },
  };
}

function withLimits<Any extends Server>(server: Any): Any {
  server.maxHeadersCount = headersMax;
  server.maxConnections = connectionsMax;
  const answers = new WeakMap<object, ServerResponse>();
  server.on('request', (request, response) => {
    answers.set(request.socket, response);
  });
  server.on('clientError', (error: Error, socket) => {
    const open = answers.get(socket);
    // Bytes in the middle of an answer would become a part of it.
    if (open?.headersSent === true && !open.writableFinished) socket.destroy();
    else answerClientError(error, socket);
  });
  return server;
}

function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const ended = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  // A connection whose call has just ended is idle only now.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, sweepMs);
  const cut = setTimeout(() => {
    server.closeAllConnections();
  }, graceMs);
  await ended;
  clearInterval(sweep);
  clearTimeout(cut);
}

function urlOf(scheme: string, server: Server | undefined): string | undefined {
  const address = (server?.address() ?? null) as AddressInfo | null;
  if (address === null) return undefined;
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `${scheme}://${host}:${address.port.toString()}`;
}
