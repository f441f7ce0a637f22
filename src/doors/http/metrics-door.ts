/** The door for Prometheus: answers `/metrics` and nothing else. */

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface MetricsDoorOptions {
  listen: { host: string; port: number };
  /** PEM; plain HTTP without it. */
  tls?: { key: string; cert: string };
  read: () => Promise<{ contentType: string; text: string }>;
  onFailure: (error: unknown) => void;
}

export interface MetricsDoor {
  listen(): Promise<{ port: number }>;
  close(): Promise<void>;
}

const limits = { maxHeaderSize: 8 * 1024, requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 65_000 };
const connectionsMax = 100;

/** A door that is not open yet. Nothing that is asked there changes anything, so it takes no credential. */
export function createMetricsDoor(options: MetricsDoorOptions): MetricsDoor {
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response, options).catch((error: unknown) => {
      options.onFailure(error);
      if (response.headersSent) response.destroy();
      else send(response, 500, 'internal');
    });
  };
  const { tls } = options;
  const server: Server =
    tls === undefined
      ? createHttpServer(limits, handler)
      : createHttpsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, handler);
  server.maxConnections = connectionsMax;
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
