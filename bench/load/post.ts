/** Posts JSON on connections that stay open, with as little of its own as can be. */

import { Agent, request } from 'node:http';

export interface Sender {
  /** Answers when all of the answer is there. Fails where the status is not `expected`. */
  post(path: string, body: string): Promise<void>;
  close(): void;
}

export interface SenderOptions {
  url: string;
  token: string;
  /** Address of this machine to come from: limits count calls by it. */
  localAddress?: string;
  connections: number;
  expected: number;
}

export function createSender({ url, token, localAddress, connections, expected }: SenderOptions): Sender {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const post = (path: string, body: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const call = request(
        {
          ...{ agent, hostname, port, path, method: 'POST', family: 4 },
          ...(localAddress === undefined ? {} : { localAddress }),
          headers: {
            authorization: `Bearer ${token}`,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          },
        },
        (response) => {
          response.resume();
          response.on('end', () => {
            if (response.statusCode === expected) resolve();
            else reject(new Error(`${path} answered ${String(response.statusCode)}`));
          });
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  return { post, close: () => agent.destroy() };
}
