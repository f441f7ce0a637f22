/** A certificate authority in local files, for embedded mode. */

import 'reflect-metadata';
import { createPublicKey, randomBytes, X509Certificate as NodeCertificate, type webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Authority, IssuedCertificate } from '../../domain/authority.ts';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import { exportJwk, thumbprint } from '../../proof/public-key.ts';
import { checkIssueParameters, readCertificateRequest, toGeneralName } from './certificate-parameters.ts';
import { ecdsaP256, toCommonName, toCryptoKeyPair } from './certificate-request.ts';
import { openKeyFile } from './key-file.ts';
import { createWholeFile, systemErrorCode } from './private-file.ts';

export interface LocalAuthorityOptions {
  /** The root's key: PKCS #8 in PEM, mode 0600. */
  keyPath: string;
  /** The root's certificate, PEM, public: clients are given this file. */
  certificatePath: string;
  /** Makes what is missing; otherwise its absence fails `not_found`. */
  create: boolean;
  clock: Clock;
}

const rootLifetimeMs = 10 * 365 * 86_400_000;
/** Certificates begin a little in the past, for machines whose clock is behind. */
const backdatedMs = 5 * 60_000;

/**
 * Opens the authority, or makes it with `create`: a P-256 root that lives ten years and may sign no other authority.
 * Fails `invalid` where key and certificate do not belong together or the key can be read by others.
 */
export async function openLocalAuthority(options: LocalAuthorityOptions): Promise<Authority> {
  const { keyPath, certificatePath, create, clock } = options;
  const key = await openKeyFile({ path: keyPath, algorithm: 'ES256', create });
  const keys = await toCryptoKeyPair(key);
  let rootPem = await readIfThere(certificatePath);
  if (rootPem === undefined && create) {
    const name = `Writ local authority ${thumbprint(exportJwk(createPublicKey(key))).slice(0, 8)}`;
    await createWholeFile(certificatePath, await createRootPem(keys, name, clock.now()), 0o644);
    rootPem = await readIfThere(certificatePath);
  }
  if (rootPem === undefined) {
    throw new AppError('not_found', `There is no certificate ${certificatePath}.`, { reason: 'authority_missing' });
  }
  const root = readRoot(certificatePath, rootPem);
  if (!root.checkPrivateKey(key)) {
    throw new AppError('invalid', `The key ${keyPath} is not the key of the certificate ${certificatePath}.`, {
      reason: 'authority_mismatch',
    });
  }
  return new LocalAuthority(keys, root, clock);
}

class LocalAuthority implements Authority {
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #root: X509Certificate;
  readonly #rootPem: string;
  readonly #clock: Clock;

  constructor(keys: webcrypto.CryptoKeyPair, root: NodeCertificate, clock: Clock) {
    this.#keys = keys;
    this.#root = new X509Certificate(root.raw);
    this.#rootPem = root.toString();
    this.#clock = clock;
  }

  rootPem(): Promise<string> {
    return Promise.resolve(this.#rootPem);
  }

  async issue(request: Parameters<Authority['issue']>[0]): Promise<IssuedCertificate> {
    checkIssueParameters(request);
    const { publicKey } = await readCertificateRequest(request.csrPem);
    const nowMs = this.#clock.now();
    if (nowMs >= this.#root.notAfter.getTime()) {
      throw new AppError('expired', 'The root certificate of the local authority has expired. Remove its files.', {
        reason: 'authority_expired',
      });
    }
    const notAfter = new Date(Math.min(nowMs + request.lifetimeS * 1000, this.#root.notAfter.getTime()));
    const { clientAuth, serverAuth } = ExtendedKeyUsage;
    const certificate = await X509CertificateGenerator.create({
      serialNumber: newSerialNumber(),
      subject: toCommonName(request.commonName),
      issuer: this.#root.subjectName,
      notBefore: new Date(nowMs - backdatedMs),
      notAfter,
      publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ecdsaP256,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([request.usage === 'client' ? clientAuth : serverAuth], false),
        await SubjectKeyIdentifierExtension.create(publicKey),
        await AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        ...(request.names.length === 0
          ? []
          : [new SubjectAlternativeNameExtension(request.names.map(toGeneralName), false)]),
      ],
    });
    // X.509 counts whole seconds.
    const lastSecond = new Date(Math.floor(notAfter.getTime() / 1000) * 1000);
    return { certificatePem: `${certificate.toString('pem')}\n${this.#rootPem}`, notAfter: lastSecond };
  }
}

async function createRootPem(keys: webcrypto.CryptoKeyPair, name: string, nowMs: number): Promise<string> {
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: toCommonName(name),
    notBefore: new Date(nowMs - backdatedMs),
    notAfter: new Date(nowMs + rootLifetimeMs),
    keys,
    signingAlgorithm: ecdsaP256,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${root.toString('pem')}\n`;
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new AppError('unavailable', `${path} cannot be read.`, { reason: 'authority_unavailable' }, error);
  }
}

function readRoot(path: string, pem: string): NodeCertificate {
  try {
    return new NodeCertificate(pem);
  } catch (error) {
    throw new AppError('invalid', `${path} holds no certificate in PEM.`, { reason: 'authority_invalid' }, error);
  }
}
