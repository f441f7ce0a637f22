/** The door for RabbitMQ's plugin `rabbitmq_auth_backend_http`: it asks whether a node may, and is answered `allow` or `deny`. */

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { BrokerDenial, BrokerQuestion } from '../../fleet/broker-access.ts';

const bodyMaxBytes = 16 * 1024;

export interface BrokerAuthDoorOptions {
  listen: { host: string; port: number };
  /** PEM; plain HTTP without it. */
  tls?: { key: string; cert: string };
  decide: (question: BrokerQuestion) => Promise<BrokerDenial | undefined>;
  /** Told of everything that is denied. */
  onDenied: (question: BrokerQuestion, reason: BrokerDenial) => void;
  onFailure: (error: unknown) => void;
}

export interface BrokerAuthDoor {
  listen(): Promise<{ port: number }>;
  close(): Promise<void>;
}

/** A door that is not open yet. What it cannot decide it denies: RabbitMQ asks again when the client comes again. */
export function createBrokerAuthDoor(options: BrokerAuthDoorOptions): BrokerAuthDoor {
  const limits = { maxHeaderSize: 8 * 1024, requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 60_000 };
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    void answer(request, options).then(
      (text) => {
        response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(text) }).end(text);
      },
      (error: unknown) => {
        options.onFailure(error);
        response.writeHead(500, { 'Content-Length': 0 }).end();
      },
    );
  };
  const { tls } = options;
  const server: Server =
    tls === undefined
      ? createHttpServer(limits, handler)
      : createHttpsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, handler);
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(options.listen, () => {
          server.off('error', reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, options: BrokerAuthDoorOptions): Promise<string> {
  const body = await read(request);
  const question = request.method === 'POST' ? questionOf(request.url ?? '', body) : undefined;
  if (question === undefined) return 'deny';
  const denial = await options.decide(question);
  if (denial === undefined) return 'allow';
  options.onDenied(question, denial);
  return 'deny';
}

async function read(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyMaxBytes) throw new Error('a question of RabbitMQ is too long');
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
}

function questionOf(path: string, form: URLSearchParams): BrokerQuestion | undefined {
  const text = (name: string): string => form.get(name) ?? '';
  const user = text('username');
  switch (path) {
    case '/rabbitmq/user':
      return { about: form.has('password') ? 'password' : 'user', user };
    case '/rabbitmq/vhost':
      return { about: 'vhost', user, vhost: text('vhost') };
    case '/rabbitmq/resource':
      return {
        about: 'resource',
        ...{ user, vhost: text('vhost'), resource: text('resource') },
        ...{ name: text('name'), permission: text('permission') },
      };
    case '/rabbitmq/topic':
      return { about: 'topic', user };
    default:
      return undefined;
  }
}
