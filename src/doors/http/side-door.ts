/** An HTTP server of a few calls, at an address of its own: its limits, its TLS, its opening and its closing. */

import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface SideDoorOptions {
  listen: { host: string; port: number };
  /** PEM; plain HTTP without it. */
  tls?: { key: string; cert: string };
  handler: RequestListener;
  /** Beyond so many connections, further ones are closed. Absent for no bound. */
  connectionsMax?: number;
}

export interface SideDoor {
  /** Resolves when it takes calls; fails where the address is taken. */
  listen(): Promise<{ port: number }>;
  /** Ends the connections that are open, too. */
  close(): Promise<void>;
}

const limits: ServerOptions = {
  maxHeaderSize: 8 * 1024,
  requestTimeout: 5000,
  headersTimeout: 5000,
  keepAliveTimeout: 65_000,
};

/** A door that is not open yet. */
export function createSideDoor({ listen, tls, handler, connectionsMax }: SideDoorOptions): SideDoor {
  const server: Server =
    tls === undefined
      ? createHttpServer(limits, handler)
      : createHttpsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, handler);
  if (connectionsMax !== undefined) server.maxConnections = connectionsMax;
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(listen, () => {
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
