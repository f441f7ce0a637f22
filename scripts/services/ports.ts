/** Finds ports of this machine for services. */
import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';

/** Below the ports that Linux gives to outgoing connections, which might take one while its service is being restarted. */
const FIRST = 15_000;
const END = 32_000;
const TRIES = 200;

/** So many different ports on which nobody listens now. Fails when there seem to be none. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; tries < TRIES && found.size < count; tries += 1) {
    const port = randomInt(FIRST, END);
    if (await isFree(port)) found.add(port);
  }
  if (found.size < count) throw new Error(`no ${count} free ports between ${FIRST} and ${END}`);
  return [...found];
}

/** Fails where somebody listens on it. */
export async function assertFree(port: number): Promise<void> {
  if (!(await isFree(port))) throw new Error(`port ${port} is in use`);
}

/** Whether somebody takes connections there. */
export async function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
