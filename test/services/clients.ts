/** Clients of a RabbitMQ service: one that speaks AMQP, and one that only knocks. */
import { readFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { connect, credentials, type ChannelModel } from 'amqplib';
import type { CertificateFiles } from '../../scripts/services/certificates.ts';
import type { RabbitMqService } from '../../scripts/services/rabbitmq.ts';

/** How AMQP 0-9-1 §4.2.2 has a client begin. */
const HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1');

/** Connected as the certificate's common name. Its errors are those of its calls. */
export async function amqp(
  service: RabbitMqService,
  { certPath, keyPath }: CertificateFiles,
  vhost = '/',
): Promise<ChannelModel> {
  const [ca, cert, key] = await Promise.all([readFile(service.caPath), readFile(certPath), readFile(keyPath)]);
  const url = `${service.url}/${encodeURIComponent(vhost)}`;
  const connection = await connect(url, { ca, cert, key, credentials: credentials.external() });
  connection.on('error', () => undefined);
  return connection;
}

/** What the server says to who begins to speak AMQP over TLS; fails where it refuses the connection. */
export async function greetingOverTls(service: RabbitMqService, options: Partial<ConnectionOptions>): Promise<Buffer> {
  const ca = await readFile(service.caPath);
  const tls = { ca, servername: 'localhost', ...options };
  return greeting(connectTls({ host: '127.0.0.1', port: service.port, ...tls }));
}

/** The same without TLS. */
export async function greetingOverTcp(port: number): Promise<Buffer> {
  return greeting(connectTcp({ host: '127.0.0.1', port }));
}

/** TLS 1.3 tells a client of its refusal only after the client took the handshake for done, so it is the answer that counts. */
async function greeting(socket: ReturnType<typeof connectTcp>): Promise<Buffer> {
  try {
    return await new Promise((resolve, reject) => {
      socket.once('data', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed without an answer')));
      socket.write(HEADER);
    });
  } finally {
    socket.destroy();
  }
}

/** Mechanisms that the server offers in its `connection.start` (AMQP 0-9-1 §1.4.2.1). */
export function mechanisms(greetingFrame: Buffer): string {
  const FRAME_HEADER = 7;
  const properties = FRAME_HEADER + 2 + 2 + 2;
  const at = properties + 4 + greetingFrame.readUInt32BE(properties);
  return greetingFrame.toString('utf8', at + 4, at + 4 + greetingFrame.readUInt32BE(at));
}
