/** The local authority: the contract of every authority, its files, and what it refuses. */

import 'reflect-metadata';
import { webcrypto, X509Certificate } from 'node:crypto';
import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Authority } from '../../../src/domain/authority.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { AppError } from '../../../src/domain/error.ts';
import { createCertificateRequest } from '../../../src/platform/keys/certificate-request.ts';
import { createListenerCertificate } from '../../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../../src/platform/keys/local-authority.ts';
import { authorityContract } from '../../contract/authority.ts';
import { makeDirectory, withDirectory } from './temporary-directory.ts';

function optionsIn(directory: string) {
  return {
    keyPath: join(directory, 'authority.key'),
    certificatePath: join(directory, 'authority.crt'),
    create: true,
    clock: systemClock,
  };
}

authorityContract('the local authority', async () => {
  const { directory, remove } = await makeDirectory();
  return { authority: await openLocalAuthority(optionsIn(directory)), stop: remove };
});

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof AppError ? error.reason : String(error)),
  );
}

async function issue(
  authority: Authority,
  changes: Partial<Parameters<Authority['issue']>[0]> = {},
): Promise<{ certificatePem: string; notAfter: Date }> {
  const { csrPem } = await createCertificateRequest('x');
  return authority.issue({ csrPem, commonName: 'x', names: [], usage: 'client', lifetimeS: 60, ...changes });
}

describe('the local authority', () => {
  it('keeps its key to itself and its certificate for everybody, and is the same when opened again', () =>
    withDirectory(async (directory) => {
      const options = optionsIn(directory);
      const rootPem = await (await openLocalAuthority(options)).rootPem();
      expect((await stat(options.keyPath)).mode & 0o777).to.equal(0o600);
      expect((await stat(options.certificatePath)).mode & 0o777).to.equal(0o644);
      expect(await (await openLocalAuthority({ ...options, create: false })).rootPem()).to.equal(rootPem);
    }));

  it('has a root of ten years that may sign no other authority', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      const root = new X509Certificate(await authority.rootPem());
      const years = (Date.parse(root.validTo) - Date.now()) / (365 * 86_400_000);
      expect(years).to.be.within(9.99, 10);
      // RFC 5280 §4.2.1.9 and §4.2.1.3: cA and a path length of 0; keyCertSign and cRLSign alone.
      expect(root.raw.includes(Buffer.from('30060101ff020100', 'hex'))).to.equal(true);
      expect(root.raw.includes(Buffer.from('03020106', 'hex'))).to.equal(true);
    }));

  it('issues certificates that say of themselves that they are no authority', () =>
    withDirectory(async (directory) => {
      const { certificatePem } = await issue(await openLocalAuthority(optionsIn(directory)));
      // RFC 5280 §4.2.1.9: basicConstraints, critical, an empty sequence.
      const noAuthority = Buffer.from('0603551d130101ff04023000', 'hex');
      expect(new X509Certificate(certificatePem).raw.includes(noAuthority)).to.equal(true);
    }));

  it('gives one root to all that start at once', () =>
    withDirectory(async (directory) => {
      const authorities = await Promise.all(Array.from({ length: 6 }, () => openLocalAuthority(optionsIn(directory))));
      const roots = await Promise.all(authorities.map((authority) => authority.rootPem()));
      expect(new Set(roots).size).to.equal(1);
      expect((await readdir(directory)).sort()).to.deep.equal(['authority.crt', 'authority.key']);
    }));

  it('refuses files that are missing, exposed, damaged, or do not belong together', () =>
    withDirectory(async (directory) => {
      const options = optionsIn(directory);
      expect(await reasonOf(openLocalAuthority({ ...options, create: false }))).to.equal('key_file_missing');
      await openLocalAuthority(options);
      await chmod(options.keyPath, 0o644);
      expect(await reasonOf(openLocalAuthority(options))).to.equal('key_file_exposed');
      const other = { ...options, keyPath: join(directory, 'other.key') };
      expect(await reasonOf(openLocalAuthority(other))).to.equal('authority_mismatch');
      await chmod(options.keyPath, 0o600);
      await writeFile(options.certificatePath, 'junk');
      expect(await reasonOf(openLocalAuthority(options))).to.equal('authority_invalid');
      const missing = { ...options, certificatePath: join(directory, 'missing.crt'), create: false };
      expect(await reasonOf(openLocalAuthority(missing))).to.equal('authority_missing');
    }));

  it('refuses names and times that make no sense', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      const bad = [
        { commonName: '' },
        { commonName: 'x'.repeat(65) },
        { commonName: 'a\nb' },
        { names: ['UPPER.example'] },
        { names: ['-x.example'] },
        { names: ['a b'] },
        { names: [''] },
        { names: ['a.*.example'] },
        { names: ['10.0.0.1/8'] },
        { names: Array.from({ length: 101 }, (_, i) => `n${i.toString()}`) },
        { lifetimeS: 0 },
        { lifetimeS: 1.5 },
        { lifetimeS: 401 * 86_400 },
      ];
      for (const changes of bad) {
        expect(await reasonOf(issue(authority, changes)), JSON.stringify(changes)).to.equal(
          'certificate_parameters_invalid',
        );
      }
    }));

  it('puts no common name into the subject but the very text it was given', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      for (const commonName of ['a, O=Writ+OU="x"', '#0c0178', 'x=y', '"x"', '\\,']) {
        const { certificatePem } = await issue(authority, { commonName });
        const { subject } = new X509Certificate(certificatePem).toLegacyObject();
        expect({ ...subject }).to.deep.equal({ CN: commonName });
      }
    }));

  it('certifies Ed25519 keys, and refuses others and requests that are too large', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      const request = async (
        algorithm: webcrypto.RsaHashedKeyGenParams | webcrypto.EcKeyGenParams | { name: string },
      ) => {
        const keys = await webcrypto.subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, [
          'sign',
          'verify',
        ]);
        const signingAlgorithm = { ...algorithm, hash: 'SHA-256' };
        return (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys, signingAlgorithm })).toString(
          'pem',
        );
      };
      expect(await reasonOf(issue(authority, { csrPem: await request({ name: 'Ed25519' }) }))).to.equal('none');
      const rsa = {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      };
      const p384 = { name: 'ECDSA', namedCurve: 'P-384' };
      for (const algorithm of [rsa, p384]) {
        const csrPem = await request(algorithm);
        expect(await reasonOf(issue(authority, { csrPem }))).to.equal('certificate_request_invalid');
      }
      const { csrPem } = await createCertificateRequest('x');
      expect(await reasonOf(issue(authority, { csrPem: csrPem + ' '.repeat(16_384) }))).to.equal(
        'certificate_request_invalid',
      );
    }));

  it('issues nothing beyond the end of its root', () =>
    withDirectory(async (directory) => {
      let nowMs = Date.parse('2026-01-01T00:00:00Z');
      const clock = { now: () => nowMs, monotonicMs: () => nowMs };
      const authority = await openLocalAuthority({ ...optionsIn(directory), clock });
      const end = Date.parse(new X509Certificate(await authority.rootPem()).validTo);
      nowMs = end - 10_000;
      expect((await issue(authority)).notAfter.getTime()).to.equal(end);
      nowMs = end;
      expect(await reasonOf(issue(authority))).to.equal('authority_expired');
    }));
});

describe('the certificate of a listener', () => {
  it('serves HTTPS on loopback to whoever trusts the root', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      const { keyPem, certificatePem } = await createListenerCertificate(authority);
      const server = createServer({ key: keyPem, cert: certificatePem }, (_, response) => response.end('here'));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const ca = await authority.rootPem();
      for (const host of ['127.0.0.1', 'localhost']) {
        const request = get({ host, port, ca, family: 4, agent: false });
        const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
        expect(response.statusCode).to.equal(200);
        response.resume();
        await once(response, 'end');
      }
      server.close();
      await once(server, 'close');
    }));

  it('carries other names when they are given', () =>
    withDirectory(async (directory) => {
      const authority = await openLocalAuthority(optionsIn(directory));
      const { certificatePem } = await createListenerCertificate(authority, { names: ['writ.example'], lifetimeS: 60 });
      const certificate = new X509Certificate(certificatePem);
      expect(certificate.subjectAltName).to.equal('DNS:writ.example');
      expect(certificate.subject).to.equal('CN=writ.example');
    }));
});
