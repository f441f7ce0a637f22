/** As much of a broker as logging in takes, for versions and mechanisms that the server of the tests has not. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';

export interface FakeBroker {
  /** Over TLS, at localhost. */
  url: string;
  close(): void;
}

/** Lets everybody in, and ends the connection when it is asked for anything more. */
export async function startFakeBroker(
  tls: { cert: string; key: string },
  { version, mechanisms }: { version: string; mechanisms: string },
): Promise<FakeBroker> {
  const answers = [greeting(version, mechanisms), method(10, 30, Buffer.from([0, 9, 0, 2, 0, 0, 0, 0])), openOk];
  const server = createServer(tls, (socket: TLSSocket) => {
    let calls = 0;
    socket
      .on('error', () => undefined)
      .on('data', () => {
        const answer = answers[calls++];
        if (answer === undefined) socket.destroy();
        else socket.write(answer);
      });
  });
  server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `amqps://localhost:${(server.address() as AddressInfo).port.toString()}`,
    close: () => server.close(),
  };
}

/** `Connection.Start` of AMQP 0-9-1, with one property. */
export function greeting(version: string, mechanisms: string): Buffer {
  const property = Buffer.concat([Buffer.from('\u0007versionS'), longString(version)]);
  const parts = [Buffer.from([0, 9]), longString(property), longString(mechanisms), longString('en_US')];
  return method(10, 10, Buffer.concat(parts));
}

const openOk = method(10, 41, Buffer.from([0]));

/** A frame on channel 0. */
function method(group: number, id: number, fields: Buffer): Buffer {
  const head = Buffer.alloc(11);
  head[0] = 1;
  head.writeUInt32BE(fields.length + 4, 3);
  head.writeUInt16BE(group, 7);
  head.writeUInt16BE(id, 9);
  return Buffer.concat([head, fields, Buffer.from([0xce])]);
}

function longString(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
