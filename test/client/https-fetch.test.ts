import { expect } from 'chai';
import { rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { WritClient, type WritUnreachableError } from '../../src/client/client.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { createListenerCertificate } from '../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../src/platform/keys/local-authority.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { taskBody } from './scripted-server.ts';

describe('a client with a certificate authority of its own', () => {
  let folder: string;
  let server: Server;
  let url: string;
  let caCert: string;
  let handshakes = 0;
  let connections = 0;

  before(async () => {
    folder = await makeScratchFolder('writ-https-fetch-');
    const authority = await openAuthority('root');
    caCert = await authority.rootPem();
    const { keyPem, certificatePem } = await createListenerCertificate(authority);
    server = createServer({ key: keyPem, cert: certificatePem }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method === 'DELETE') return response.writeHead(204).end();
        if (request.url === '/api/v1/whoami')
          return response.writeHead(429, { 'retry-after': '99' }).end('{"code":"x","detail":"y"}');
        const { tool } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { tool: string };
        return response.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify(taskBody(tool)));
      });
    });
    server.on('secureConnection', () => (handshakes += 1));
    server.on('connection', () => (connections += 1));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`;
  });

  after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  const openAuthority = (name: string) =>
    openLocalAuthority({
      keyPath: join(folder, `${name}-key.pem`),
      certificatePath: join(folder, `${name}.pem`),
      create: true,
      clock: systemClock,
    });

  it('sends bodies, reads answers, and keeps its connection', async () => {
    const client = new WritClient({ url, caCert });
    const before = handshakes;
    expect((await client.submit({ tool: 'grün', action: 'run' })).task_id).to.equal('grün');
    expect((await client.submit({ tool: 'b', action: 'run' })).task_id).to.equal('b');
    await client.revokeToken('id');
    expect(handshakes - before).to.equal(1);
  });

  it('reads refusals with their headers', async () => {
    const refusal = await new WritClient({ url, caCert }).whoami().catch((error: unknown) => error);
    expect(refusal).to.include({ status: 429, code: 'x', retryAfterS: 99 });
  });

  it('trusts nobody else, and does not try again', async () => {
    const stranger = await (await openAuthority('stranger')).rootPem();
    for (const options of [{ caCert: stranger }, {}]) {
      const before = connections;
      const error = (await new WritClient({ url, ...options })
        .whoami()
        .catch((e: unknown) => e)) as WritUnreachableError;
      expect(error.name).to.equal('WritUnreachableError');
      expect(error.code).to.match(/SELF_SIGNED|UNABLE_TO|CERT/);
      expect(connections - before).to.equal(1);
    }
  });
});
