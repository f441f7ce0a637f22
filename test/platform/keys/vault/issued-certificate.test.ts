/** Certificates that a broken or taken over PKI could answer, and that are never handed on. */

import 'reflect-metadata';
import { createPrivateKey, X509Certificate as NodeCertificate, type webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { AppError } from '../../../../src/domain/error.ts';
import { readCertificateRequest } from '../../../../src/platform/keys/certificate-parameters.ts';
import {
  createCertificateRequest,
  ecdsaP256,
  toCryptoKeyPair,
} from '../../../../src/platform/keys/certificate-request.ts';
import { checkIssued, isRoot } from '../../../../src/platform/keys/vault/issued-certificate.ts';

interface Certificate {
  subject: string;
  issuer: string;
  /** Whose key it certifies. */
  of: webcrypto.CryptoKeyPair;
  /** Who signs it. */
  by: webcrypto.CryptoKeyPair;
  isAuthority: boolean;
}

/** A certificate of any content, without key identifiers: issuers are found by their names alone. */
async function craft({ subject, issuer, of, by, isAuthority }: Certificate): Promise<string> {
  const certificate = await X509CertificateGenerator.create({
    ...{ subject, issuer, publicKey: of.publicKey, signingKey: by.privateKey, signingAlgorithm: ecdsaP256 },
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 60_000),
    extensions: [
      new BasicConstraintsExtension(isAuthority, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    ],
  });
  return certificate.toString('pem');
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return toCryptoKeyPair(createPrivateKey((await createCertificateRequest('x')).keyPem));
}

describe('the check of an issued certificate', () => {
  let rootKeys: webcrypto.CryptoKeyPair;
  let otherKeys: webcrypto.CryptoKeyPair;
  let root: NodeCertificate;
  before(async () => {
    [rootKeys, otherKeys] = await Promise.all([newKeys(), newKeys()]);
    const names = { subject: 'CN=root', issuer: 'CN=root' };
    root = new NodeCertificate(await craft({ ...names, of: rootKeys, by: rootKeys, isAuthority: true }));
  });

  /** What the check says of a certificate for node-1, by the root but for the changes: the length of the chain, or why not. */
  async function outcomeOf(changes: Partial<Certificate>, chain: readonly string[] = []): Promise<string | number> {
    const { keyPem, csrPem } = await createCertificateRequest('x');
    const of = await toCryptoKeyPair(createPrivateKey(keyPem));
    const plain = { subject: 'CN=node-1', issuer: 'CN=root', of, by: rootKeys, isAuthority: false };
    const asked = { csrPem, commonName: 'node-1', names: [], usage: 'client', lifetimeS: 60 } as const;
    const answeredPem = [await craft({ ...plain, ...changes }), ...chain];
    try {
      const request = await readCertificateRequest(csrPem);
      return checkIssued({ asked, request, answeredPem, root, nowMs: Date.now() }).length;
    } catch (error) {
      if (!(error instanceof AppError) || error.reason !== 'vault_certificate_wrong') throw error;
      return (error.cause as Error).message;
    }
  }

  it('lets the certificate through that was asked for', async () => {
    expect(isRoot(root)).to.equal(true);
    expect(await outcomeOf({})).to.equal(2);
  });

  it('refuses an authority', async () => {
    expect(await outcomeOf({ isAuthority: true })).to.equal('an authority');
  });

  for (const subject of [
    'CN=node-1, O=Writ',
    'CN=node-1+OU=x',
    'CN=node-1+CN=node-1',
    'CN=node-1, CN=node-2',
    'CN=node-2',
    'O=node-1',
  ]) {
    it(`refuses the subject ${subject}`, async () => {
      expect(await outcomeOf({ subject })).to.equal('subject');
    });
  }

  it('refuses what a key signed that only bears the name of the root', async () => {
    expect(await outcomeOf({ by: otherKeys })).to.equal('chain');
    const names = { subject: 'CN=root', issuer: 'CN=root' };
    const forged = await craft({ ...names, of: otherKeys, by: otherKeys, isAuthority: true });
    expect(await outcomeOf({ by: otherKeys }, [forged])).to.equal('chain');
  });

  it('takes for a root only an authority that signed itself', async () => {
    const names = { subject: 'CN=root', issuer: 'CN=root' };
    const good = { ...names, of: rootKeys, by: rootKeys, isAuthority: true };
    for (const [changes, expected] of [
      [{}, true],
      [{ isAuthority: false }, false],
      [{ issuer: 'CN=other' }, false],
      [{ by: otherKeys }, false],
    ] as const) {
      expect(isRoot(new NodeCertificate(await craft({ ...good, ...changes })))).to.equal(expected);
    }
  });

  it('takes what an authority signed that the root signed, and nobody else', async () => {
    const middle = { subject: 'CN=middle', issuer: 'CN=root', of: otherKeys, by: rootKeys };
    const byMiddle = { issuer: 'CN=middle', by: otherKeys };
    expect(await outcomeOf(byMiddle, [await craft({ ...middle, isAuthority: true })])).to.equal(3);
    expect(await outcomeOf(byMiddle, [await craft({ ...middle, isAuthority: false })])).to.equal('chain');
    const stranger = await craft({ ...middle, issuer: 'CN=stranger', isAuthority: true });
    expect(await outcomeOf(byMiddle, [stranger])).to.equal('chain');
  });

  it('ends with a chain that leads in a circle', async () => {
    const circle = { subject: 'CN=circle', issuer: 'CN=circle', of: otherKeys, by: otherKeys, isAuthority: true };
    expect(await outcomeOf({ issuer: 'CN=circle', by: otherKeys }, [await craft(circle)])).to.equal('chain');
  });
});
