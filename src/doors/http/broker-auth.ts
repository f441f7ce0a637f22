/** The door for RabbitMQ's plugin `rabbitmq_auth_backend_http`: it asks whether a node may, and is answered `allow` or `deny`. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BrokerDenial, BrokerQuestion } from '../../fleet/broker-access.ts';
import { createSideDoor, type SideDoor, type SideDoorOptions } from './side-door.ts';

const bodyMaxBytes = 16 * 1024;

export interface BrokerAuthDoorOptions extends Omit<SideDoorOptions, 'handler' | 'connectionsMax'> {
  decide: (question: BrokerQuestion) => Promise<BrokerDenial | undefined>;
  /** Told of everything that is denied. */
  onDenied: (question: BrokerQuestion, reason: BrokerDenial) => void;
  onFailure: (error: unknown) => void;
}

/** A door that is not open yet. What it cannot decide it denies: RabbitMQ asks again when the client comes again. */
export function createBrokerAuthDoor(options: BrokerAuthDoorOptions): SideDoor {
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
  const { listen, tls } = options;
  return createSideDoor({ listen, ...(tls === undefined ? {} : { tls }), handler });
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
