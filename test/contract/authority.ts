/** What every `Authority` does. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Authority } from '../../src/domain/authority.ts';
import { createCertificateRequest } from '../../src/platform/keys/certificate-request.ts';
import { failureCode } from './failure-code.ts';

export interface AuthorityHarness {
  authority: Authority;
  stop(): Promise<void>;
}

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';

/** A key and its certificate as a TLS end wants them. */
async function certify(
  authority: Authority,
  changes: Partial<Parameters<Authority['issue']>[0]> = {},
): Promise<{ key: string; cert: string }> {
  const { keyPem, csrPem } = await createCertificateRequest('ignored');
  const issued = await authority.issue({
    csrPem,
    commonName: 'localhost',
    names: ['localhost', '127.0.0.1'],
    usage: 'server',
    lifetimeS: 3600,
    ...changes,
  });
  return { key: keyPem, cert: issued.certificatePem };
}

/** Certificates of a PEM text, in order. */
function certificatesOf(pem: string): X509Certificate[] {
  const parts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return parts.map((part) => new X509Certificate(part));
}

/** What a TLS server that asks for certificates of `ca` thinks of a client: its common name, or why it was refused. */
async function shakeHands(
  server: { key: string; cert: string },
  ca: string,
  client: ConnectionOptions,
): Promise<string> {
  const listener = createServer({ ...server, ca, requestCert: true, rejectUnauthorized: false });
  const seen = new Promise<string>((resolve) => {
    listener.on('secureConnection', (socket: TLSSocket) => {
      const { subject } = socket.getPeerCertificate();
      resolve(socket.authorized ? String(subject.CN) : `refused: ${String(socket.authorizationError)}`);
      socket.destroy();
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, ca, ...client });
  const failed = new Promise<string>((resolve) => {
    socket.on('error', (error: Error) => {
      resolve(`failed: ${error.message}`);
    });
  });
  const answer = await Promise.race([seen, failed]);
  socket.destroy();
  listener.close();
  return answer;
}

/** Defines the suite for one implementation. */
export function authorityContract(name: string, setup: () => Promise<AuthorityHarness>): void {
  describe(`${name} keeps the contract of Authority`, () => {
    let harness: AuthorityHarness;
    before(async () => {
      harness = await setup();
    });
    after(() => harness.stop());

    it('has a root that is an authority', async () => {
      const [root] = certificatesOf(await harness.authority.rootPem());
      expect(root?.ca).to.equal(true);
      expect(root?.checkIssued(root)).to.equal(true);
      expect(root?.verify(root.publicKey)).to.equal(true);
    });

    it('certifies the key of the request, with a chain up to the root', async () => {
      const { authority } = harness;
      const { keyPem, csrPem } = await createCertificateRequest('x');
      const issued = await authority.issue({
        csrPem,
        commonName: 'x',
        names: [],
        usage: 'client',
        lifetimeS: 3600,
      });
      const chain = certificatesOf(issued.certificatePem);
      expect(chain[0]?.checkPrivateKey(createPrivateKey(keyPem))).to.equal(true);
      chain.forEach((certificate, i) => {
        const issuer = chain[i + 1] ?? certificate;
        expect(certificate.verify(issuer.publicKey)).to.equal(true);
        expect(certificate.checkIssued(issuer)).to.equal(true);
      });
      const [root] = certificatesOf(await authority.rootPem());
      expect(chain.at(-1)?.fingerprint256).to.equal(root?.fingerprint256);
      expect(chain[0]?.ca).to.equal(false);
    });

    it('takes subject, names and usage from its caller and not from the request', async () => {
      const { csrPem } = await createCertificateRequest('root of all');
      const issue = (usage: 'client' | 'server') =>
        harness.authority.issue({
          csrPem,
          commonName: '0190c0de-0000-7000-8000-000000000001',
          names: ['node-1.example', '*.node-1.example', '10.1.2.3', 'fd00::1'],
          usage,
          lifetimeS: 60,
        });
      const [client] = certificatesOf((await issue('client')).certificatePem);
      const [server] = certificatesOf((await issue('server')).certificatePem);
      expect(client?.subject).to.equal('CN=0190c0de-0000-7000-8000-000000000001');
      expect(client?.subjectAltName?.split(', ')).to.have.members([
        'DNS:node-1.example',
        'DNS:*.node-1.example',
        'IP Address:10.1.2.3',
        'IP Address:FD00:0:0:0:0:0:0:1',
      ]);
      expect(client?.keyUsage).to.deep.equal([clientAuth]);
      expect(server?.keyUsage).to.deep.equal([serverAuth]);
      expect(client?.serialNumber).not.to.equal(server?.serialNumber);
    });

    it('says when the certificate ends, and begins it no later than now', async () => {
      const { csrPem } = await createCertificateRequest('x');
      const beforeMs = Date.now();
      const { certificatePem, notAfter } = await harness.authority.issue({
        csrPem,
        commonName: 'x',
        names: [],
        usage: 'client',
        lifetimeS: 86_400,
      });
      const [certificate] = certificatesOf(certificatePem);
      expect(Date.parse(certificate?.validTo ?? '')).to.equal(notAfter.getTime());
      expect(notAfter.getTime()).to.be.within(beforeMs + 86_395_000, Date.now() + 86_405_000);
      expect(Date.parse(certificate?.validFrom ?? '')).to.be.at.most(beforeMs);
    });

    it('makes certificates by which a server and a client know each other', async () => {
      const { authority } = harness;
      const ca = await authority.rootPem();
      const server = await certify(authority);
      const client = await certify(authority, { commonName: 'node-1', names: [], usage: 'client' });
      expect(await shakeHands(server, ca, client)).to.equal('node-1');
      expect(await shakeHands(server, ca, { ...client, servername: 'other.example' })).to.match(/^failed: .*other/);
      const misused = await certify(authority, { commonName: 'node-1', usage: 'server' });
      expect(await shakeHands(server, ca, misused)).to.match(/^refused/);
      expect(await shakeHands(client, ca, client)).to.match(/^failed/);
    });

    it('refuses a request that is not signed by its own key, or is none', async () => {
      const { csrPem } = await createCertificateRequest('x');
      const der = Buffer.from(csrPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
      const pem = (bytes: Buffer) =>
        `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
      const otherSubject = Buffer.from(der);
      otherSubject[otherSubject.indexOf('x', 0, 'latin1')] = 'y'.charCodeAt(0);
      const otherSignature = Buffer.from(der);
      otherSignature.writeUInt8(otherSignature.readUInt8(der.length - 1) ^ 1, der.length - 1);
      const bad = [
        '',
        'x',
        pem(Buffer.from('junk')),
        pem(der.subarray(0, 100)),
        pem(otherSignature),
        pem(otherSubject),
      ];
      for (const csr of bad) {
        const issue = () =>
          harness.authority.issue({ csrPem: csr, commonName: 'x', names: [], usage: 'client', lifetimeS: 60 });
        expect(await failureCode(issue)).to.equal('invalid');
      }
    });
  });
}
