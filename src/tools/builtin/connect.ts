/** Connects to a host's checked addresses, one after the other, and tells failures of the network by stable codes. */

import { connect as openSocket, type Socket } from 'node:net';
import { ActionFailure } from '../result.ts';
import type { CheckedAddress } from '../resolve.ts';
import type { BuiltinContext } from './builtin.ts';

export interface Connection {
  socket: Socket;
  address: CheckedAddress;
  /** From the first packet to the address that answered; whole milliseconds. */
  connectMs: number;
}

/** With more than one address, no single one may use up the whole time. */
const addressShareMs = 5000;

/**
 * Opens a TCP connection. The addresses come from the scope check and are used as they are: nothing is looked up
 * again. The caller destroys the socket, which also dies with the signal.
 */
export async function connectInScope(host: string, port: number, context: BuiltinContext): Promise<Connection> {
  const addresses = await context.resolve(host);
  let last: unknown;
  for (const [index, address] of addresses.entries()) {
    const startedMs = context.clock.monotonicMs();
    try {
      const isLast = index === addresses.length - 1;
      const socket = await connectOnce(address, port, context.signal(), isLast ? undefined : addressShareMs);
      return { socket, address, connectMs: Math.round(context.clock.monotonicMs() - startedMs) };
    } catch (error) {
      last = error;
      if (context.signal().aborted) break;
    }
  }
  throw networkFailure(last, `connecting to ${host} port ${port.toString()}`);
}

function connectOnce(
  address: CheckedAddress,
  port: number,
  signal: AbortSignal,
  shareMs: number | undefined,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = openSocket({ host: address.address, port, family: address.family, signal });
    const timer =
      shareMs === undefined
        ? undefined
        : setTimeout(() => {
            socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }));
          }, shareMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', reject);
      // From here on errors come while nobody may be listening; the user of the socket sees them through its stream.
      socket.on('error', ignore);
      resolve(socket);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function ignore(): void {
  // Kept so that a late error is no uncaught exception.
}

/** By the codes of Node and OpenSSL: our code, and whether a further try may go better. */
const failures: Readonly<Record<string, readonly [code: string, text: string, retryable: boolean]>> = {
  ECONNREFUSED: ['connection_refused', 'the connection was refused', true],
  ECONNRESET: ['connection_reset', 'the other side ended the connection', true],
  EPIPE: ['connection_reset', 'the other side ended the connection', true],
  ETIMEDOUT: ['connection_timed_out', 'no answer in time', true],
  EHOSTUNREACH: ['host_unreachable', 'no way to the host', true],
  ENETUNREACH: ['network_unreachable', 'no way to the network', true],
  EADDRNOTAVAIL: ['network_unreachable', 'no way to the network', true],
  EACCES: ['connection_forbidden', 'this machine does not allow the connection', false],
  EPERM: ['connection_forbidden', 'this machine does not allow the connection', false],
};

/** A failure of the network as one of the tool; what is understood already stays as it is. */
export function networkFailure(error: unknown, doing: string): Error {
  if (!(error instanceof Error)) return new ActionFailure('network_failed', `${doing}: failed`, { retryable: true });
  if (error instanceof ActionFailure || error.name === 'AbortError') return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const [ours, text, retryable] = Object.hasOwn(failures, code) ? (failures[code] ?? unknownFailure) : unknownFailure;
  const detail = ours === unknownFailure[0] && code !== '' ? ` (${code})` : '';
  return new ActionFailure(ours, `${doing}: ${text}${detail}`, { retryable, cause: error });
}

const unknownFailure = ['network_failed', 'failed', true] as const;
