/** What an authority is asked for: names, times and the request, checked before anything is signed. */

import 'reflect-metadata';
import { isIP } from 'node:net';
import { Pkcs10CertificateRequest, type JsonGeneralName } from '@peculiar/x509';
import type { Authority } from '../../domain/authority.ts';
import { AppError } from '../../domain/error.ts';

/** A request for a P-256 key has about 500 bytes. */
const requestMaxBytes = 16 * 1024;
const lifetimeMaxS = 400 * 86_400;
const namesMax = 100;
/** RFC 5280 appendix A.1: ub-common-name. */
const commonNameMax = 64;

/** Refuses names that are none, and lifetimes that make no sense. */
export function checkIssueParameters({ commonName, names, lifetimeS }: Parameters<Authority['issue']>[0]): void {
  if (commonName.length === 0 || commonName.length > commonNameMax || !/^[\x20-\x7e]+$/.test(commonName)) {
    throw invalid('The common name of a certificate has 1 to 64 printable characters.');
  }
  if (names.length > namesMax || !names.every((name) => isIP(name) !== 0 || isDnsName(name))) {
    throw invalid('The names of a certificate are host names and IP addresses.');
  }
  if (!Number.isSafeInteger(lifetimeS) || lifetimeS < 1 || lifetimeS > lifetimeMaxS) {
    throw invalid('The lifetime of a certificate is 1 second to 400 days.');
  }
}

/** A checked name in the form of the subject alternative name extension. */
export function toGeneralName(name: string): JsonGeneralName {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name };
}

/**
 * Reads a request and checks that it is signed with the key it is about: without that, somebody could have another's
 * key certified as their own. P-256 and Ed25519 keys only. Every byte is controlled by an attacker.
 */
export async function readCertificateRequest(csrPem: string): Promise<Pkcs10CertificateRequest> {
  if (csrPem.length > requestMaxBytes || !isPem.test(csrPem)) throw badRequest('no certificate request in PEM');
  let request: Pkcs10CertificateRequest;
  let isSigned: boolean;
  try {
    request = new Pkcs10CertificateRequest(csrPem);
    const { name, namedCurve } = request.publicKey.algorithm as { name: string; namedCurve?: string };
    if (name !== 'Ed25519' && !(name === 'ECDSA' && namedCurve === 'P-256')) {
      throw badRequest('neither a P-256 nor an Ed25519 key');
    }
    isSigned = await request.verify();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw badRequest('no certificate request that can be read', error);
  }
  if (!isSigned) throw badRequest('a signature by another key');
  return request;
}

const isPem = /^\s*-----BEGIN CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----\s*$/;

const dnsName = /^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

function isDnsName(name: string): boolean {
  return name.length <= 253 && dnsName.test(name);
}

function badRequest(what: string, cause?: unknown): AppError {
  return new AppError(
    'invalid',
    `The certificate request holds ${what}.`,
    { reason: 'certificate_request_invalid' },
    cause,
  );
}

function invalid(message: string): AppError {
  return new AppError('invalid', message, { reason: 'certificate_parameters_invalid' });
}
