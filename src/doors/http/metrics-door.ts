/** The door for Prometheus: answers `/metrics` and nothing else. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSideDoor, type SideDoor, type SideDoorOptions } from './side-door.ts';

export interface MetricsDoorOptions extends Omit<SideDoorOptions, 'handler' | 'connectionsMax'> {
  read: () => Promise<{ contentType: string; text: string }>;
  onFailure: (error: unknown) => void;
}

const connectionsMax = 100;

/** A door that is not open yet. Nothing that is asked there changes anything, so it takes no credential. */
export function createMetricsDoor(options: MetricsDoorOptions): SideDoor {
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response, options).catch((error: unknown) => {
      options.onFailure(error);
      if (response.headersSent) response.destroy();
      else send(response, 500, 'internal');
    });
  };
  const { listen, tls } = options;
  return createSideDoor({ listen, ...(tls === undefined ? {} : { tls }), handler, connectionsMax });
}

async function answer(request: IncomingMessage, response: ServerResponse, { read }: MetricsDoorOptions): Promise<void> {
  request.resume();
  const [path] = (request.url ?? '').split('?');
  if (path !== '/metrics') {
    send(response, 404, 'not found');
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(response, 405, 'method not allowed');
    return;
  }
  const { contentType, text } = await read();
  send(response, 200, text, contentType);
}

function send(response: ServerResponse, status: number, text: string, contentType = 'text/plain; charset=utf-8'): void {
  const body = Buffer.from(text, 'utf8');
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}
