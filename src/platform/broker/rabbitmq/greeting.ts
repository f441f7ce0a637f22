/** What a broker says before anybody has logged in: its certificate, and the ways to log in that it offers. */

import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { connectFailure } from './failure.ts';
import { parseAddress, tlsOptions, type LinkOptions } from './link.ts';

export interface Greeting {
  /** SASL mechanisms that are offered. */
  mechanisms: string[];
  /** RabbitMQ's certificate, DER. */
  certificate: Buffer;
}

/** AMQP 0-9-1 §4.2.2: the protocol header. */
const protocolHeader = Buffer.from('AMQP\u0000\u0000\u0009\u0001', 'latin1');
/** AMQP 0-9-1 §4.2.3: type, channel and size of the payload go before it. */
const frameHeadBytes = 7;
const methodFrame = 1;
/** `Connection.Start` is the first frame there is, and a small one. */
const frameMaxBytes = 64 * 1024;
const timeoutMs = 8000;

/** Connects, reads the greeting, and leaves. Fails as `connectFailure` says. */
export async function readGreeting({ url, tls }: Pick<LinkOptions, 'url' | 'tls'>): Promise<Greeting> {
  try {
    const { hostname: host, port } = parseAddress(url);
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = connectTls({ host, port, ...name, ...tlsOptions(tls()) });
    let certificate: Buffer = Buffer.alloc(0);
    socket.once('secureConnect', () => {
      certificate = socket.getPeerCertificate().raw;
    });
    const mechanisms = await greet(socket, 'secureConnect');
    if (mechanisms === undefined) throw new Error('Invalid frame');
    return { mechanisms, certificate };
  } catch (error) {
    throw connectFailure(error);
  }
}

/** Whether a broker listens there for AMQP without TLS. Never fails; sends nothing but the protocol's name. */
export async function speaksPlainAmqp(host: string, port: number): Promise<boolean> {
  try {
    return (await greet(connectTcp({ host, port }), 'connect')) !== undefined;
  } catch {
    return false;
  }
}

/** The mechanisms; undefined where what answers does not speak AMQP 0-9-1. */
async function greet(socket: Socket, connected: 'connect' | 'secureConnect'): Promise<string[] | undefined> {
  const timer = setTimeout(() => socket.destroy(new Error('ETIMEDOUT')), timeoutMs);
  try {
    await once(socket, connected);
    socket.write(protocolHeader);
    let received: Buffer = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk]);
      if (received[0] !== methodFrame) return undefined;
      if (received.length < frameHeadBytes) continue;
      const end = frameHeadBytes + received.readUInt32BE(3);
      if (end > frameMaxBytes) return undefined;
      if (received.length >= end) return mechanismsOf(received.subarray(frameHeadBytes, end));
    }
    throw new Error('closed abruptly');
  } finally {
    clearTimeout(timer);
    socket.on('error', () => undefined).destroy();
  }
}

/** AMQP 0-9-1 §1.4.2.1, `Connection.Start`: class, method, version, a table of properties, and a long string of names. */
function mechanismsOf(payload: Buffer): string[] | undefined {
  if (payload.length < 10 || payload.readUInt32BE(0) !== 0x000a_000a) return undefined;
  const at = 10 + payload.readUInt32BE(6);
  if (payload.length < at + 4) return undefined;
  const names = payload.subarray(at + 4, at + 4 + payload.readUInt32BE(at));
  return names
    .toString('latin1')
    .split(' ')
    .filter((name) => name !== '');
}
