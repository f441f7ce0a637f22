/** Checks of a certificate that another authority signed, before anybody is given it. */

import 'reflect-metadata';
import { X509Certificate as NodeCertificate } from 'node:crypto';
import {
  ExtendedKeyUsage,
  GeneralName,
  SubjectAlternativeNameExtension,
  X509Certificate,
  type Pkcs10CertificateRequest,
} from '@peculiar/x509';
import type { Authority } from '../../../domain/authority.ts';
import { AppError } from '../../../domain/error.ts';
import { toGeneralName } from '../certificate-parameters.ts';

export interface IssuedCheck {
  /** What was asked for. */
  asked: Parameters<Authority['issue']>[0];
  request: Pkcs10CertificateRequest;
  /** The certificate and the authorities above it as they were answered, PEM, in any order but for the first. */
  answeredPem: readonly string[];
  /** Trusted: `isRoot` was asked before. */
  root: NodeCertificate;
  nowMs: number;
}

/** The other authority's clock may be ahead of ours by so much. */
const clockSkewMs = 5 * 60_000;
const chainMax = 10;

/**
 * The certificate and its chain up to the root, each signed by the next. Fails `vault_certificate_wrong` where it is
 * anything else than what was asked for.
 */
export function checkIssued({ asked, request, answeredPem, root, nowMs }: IssuedCheck): NodeCertificate[] {
  const [leaf, ...others] = answeredPem.map(readCertificate);
  if (leaf === undefined) throw wrong('no certificate');
  checkContent(new X509Certificate(leaf.raw), asked, request);
  if (leaf.ca) throw wrong('an authority');
  const usage: string = asked.usage === 'client' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth;
  if (leaf.keyUsage.join() !== usage) throw wrong('usage');
  const notAfterMs = Date.parse(leaf.validTo);
  const latestMs = nowMs + asked.lifetimeS * 1000 + clockSkewMs;
  if (!(notAfterMs > nowMs && notAfterMs <= latestMs)) throw wrong('end');
  if (Date.parse(leaf.validFrom) > nowMs + clockSkewMs) throw wrong('beginning');
  return chainOf(leaf, others, root);
}

/** Certificates of a PEM text that may hold several. */
export function splitPem(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
}

export function readCertificate(pem: string): NodeCertificate {
  try {
    return new NodeCertificate(pem);
  } catch {
    throw wrong('no certificate');
  }
}

/** An authority that signed itself. */
export function isRoot(certificate: NodeCertificate): boolean {
  return certificate.ca && certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
}

function checkContent(leaf: X509Certificate, asked: IssuedCheck['asked'], request: Pkcs10CertificateRequest): void {
  if (hex(leaf.publicKey.rawData) !== hex(request.publicKey.rawData)) throw wrong('key');
  const subject = leaf.subjectName.toJSON();
  const commonNames = leaf.subjectName.getField('CN');
  const attributes = subject.flatMap((attribute) => Object.keys(attribute));
  if (attributes.join() !== 'CN' || commonNames.length !== 1) throw wrong('subject');
  if (commonNames[0] !== asked.commonName) throw wrong('subject');
  const found = leaf.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  const wanted = asked.names.map(toGeneralName).map(({ type, value }) => new GeneralName(type, value));
  if (encodingsOf(found) !== encodingsOf(wanted)) throw wrong('names');
}

/** One text for one set of names, whatever their order and the form in which addresses are written. */
function encodingsOf(names: readonly GeneralName[]): string {
  return [...new Set(names.map((name) => hex(name.rawData)))].sort().join();
}

function chainOf(leaf: NodeCertificate, others: readonly NodeCertificate[], root: NodeCertificate): NodeCertificate[] {
  const chain = [leaf];
  for (let current = leaf; current.fingerprint256 !== root.fingerprint256;) {
    const issuer = [root, ...others].find((other) => isSignedBy(current, other));
    if (issuer === undefined || chain.length >= chainMax) throw wrong('chain');
    chain.push(issuer);
    current = issuer;
  }
  return chain;
}

function isSignedBy(certificate: NodeCertificate, issuer: NodeCertificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function hex(bytes: ArrayBuffer): string {
  return Buffer.from(bytes).toString('hex');
}

/** `what` is for the log; nobody who asks for a certificate can change it. */
function wrong(what: string): AppError {
  return new AppError(
    'unavailable',
    'Vault signed another certificate than it was asked for. Compare its PKI roles with vault/set-up.sh.',
    { reason: 'vault_certificate_wrong' },
    new Error(what),
  );
}
