/** RabbitMQ's management API with some of its answers changed: for versions and troubles that the server of the tests has not. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RabbitMqService } from '../../../scripts/services/rabbitmq.ts';

export interface AlteredManagement {
  url: string;
  close(): Promise<void>;
}

/** `alter` is given each path behind `/api/` and its answer, and answers another, or a status with nothing. */
export async function alterManagement(
  service: RabbitMqService,
  alter: (path: string, value: unknown) => unknown,
): Promise<AlteredManagement> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').slice('/api/'.length));
    void fetch(`${service.managementUrl}${request.url ?? ''}`, {
      headers: { authorization: request.headers.authorization ?? '' },
    })
      .then(async (answer) => [answer.status, alter(path, JSON.parse(await answer.text()))] as const)
      .then(([status, value]) => {
        const changed = typeof value === 'number' ? value : status;
        response.writeHead(changed, { 'content-type': 'application/json' }).end(JSON.stringify(value));
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
