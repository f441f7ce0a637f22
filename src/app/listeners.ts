/** Addresses as settings write them. */

import { createServer } from 'node:net';

export interface ListenAddress {
  host: string;
  port: number;
}

/** Reads `HOST:PORT`, with brackets around an IPv6 address. */
export function parseListen(text: string): ListenAddress {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at).replaceAll(/[[\]]/g, ''), port: Number(text.slice(at + 1)) };
}

/** The port after `base`'s where that is free now, else 0: any that is free. */
export async function nextFreePort({ host, port }: ListenAddress): Promise<number> {
  const next = port + 1;
  if (port === 0 || next > 65_535) return 0;
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(0);
    });
    probe.listen(next, host, () => {
      probe.close(() => {
        resolve(next);
      });
    });
  });
}

/** Whether only this machine can reach a listener there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
