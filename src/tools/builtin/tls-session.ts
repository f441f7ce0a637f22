/** Starts TLS on an open connection and describes what the other side showed. */

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect as startClient, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { ActionFailure } from '../result.ts';
import type { Connection } from './connect.ts';
import { networkFailure } from './connect.ts';

export interface CertificateFacts {
  subject: string;
  issuer: string;
  /** Subject alternative names as `DNS:…`, `IP Address:…`. */
  names: string[];
  serial: string;
  not_before: string;
  not_after: string;
  /** Of the DER bytes, lower-case hex. */
  sha256: string;
  key_type: string;
}

export interface TlsFacts {
  protocol: string | null;
  cipher: string | null;
  /** Whether chain, name and dates satisfy this machine's trust store. */
  authorized: boolean;
  authorization_error: string | null;
  /** The server's own certificate first. */
  chain: CertificateFacts[];
  /** Until the server's own certificate ends, whole days, negative afterwards; null without a certificate. */
  days_left: number | null;
}

export interface TlsSession {
  socket: TLSSocket;
  facts: TlsFacts;
}

const chainMax = 10;
const namesMax = 200;
const dayMs = 86_400_000;

/**
 * Shakes hands with the server. `name` is asked for (SNI) and compared with the certificate; an address is only compared.
 * The certificate is judged, never required to be good: callers look at `facts.authorized`.
 */
export function startTls(connection: Connection, name: string, nowMs: number): Promise<TlsSession> {
  const { socket: plain, address } = connection;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      plain.destroy();
      reject(tlsFailure(error, name));
    };
    const socket = startClient({
      socket: plain,
      // Old protocols are what an inspection is there to find.
      minVersion: 'TLSv1',
      rejectUnauthorized: false,
      ...(isIP(name) === 0 ? { servername: name } : { host: address.address }),
    });
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      socket.on('error', () => {
        // A late error reaches the reader of the stream as its end.
      });
      try {
        resolve({ socket, facts: describe(socket, nowMs) });
      } catch (error) {
        fail(error);
      }
    });
    socket.once('error', fail);
    socket.once('close', () => {
      fail(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    });
  });
}

function describe(socket: TLSSocket, nowMs: number): TlsFacts {
  const chain = chainOf(socket.getPeerCertificate(true));
  const [own] = chain;
  // Typed as an Error, but Node puts a code or a text there.
  const reason: unknown = socket.authorizationError;
  return {
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().name,
    authorized: socket.authorized,
    authorization_error: socket.authorized ? null : reason instanceof Error ? reason.message : String(reason),
    chain,
    days_left: own === undefined ? null : Math.floor((Date.parse(own.not_after) - nowMs) / dayMs),
  };
}

function chainOf(first: Partial<DetailedPeerCertificate>): CertificateFacts[] {
  const chain: CertificateFacts[] = [];
  const seen = new Set<unknown>();
  let next: Partial<DetailedPeerCertificate> | undefined = first;
  while (next?.raw !== undefined && !seen.has(next) && chain.length < chainMax) {
    seen.add(next);
    chain.push(certificateFacts(new X509Certificate(next.raw)));
    next = next.issuerCertificate;
  }
  return chain;
}

function certificateFacts(certificate: X509Certificate): CertificateFacts {
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    names: namesOf(certificate.subjectAltName),
    serial: certificate.serialNumber.toLowerCase(),
    not_before: new Date(certificate.validFrom).toISOString(),
    not_after: new Date(certificate.validTo).toISOString(),
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    key_type: keyType(certificate),
  };
}

/** Node gives one attribute a line. */
function oneLine(distinguishedName: string | undefined): string {
  return (distinguishedName ?? '').trim().replaceAll('\n', ', ').toWellFormed();
}

/** Names that hold a comma stand in quotes. */
function namesOf(text: string | undefined): string[] {
  const names = (text ?? '').match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  return names.slice(0, namesMax).map((name) => name.trim().toWellFormed());
}

function keyType(certificate: X509Certificate): string {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
    const size = asymmetricKeyDetails?.namedCurve ?? asymmetricKeyDetails?.modulusLength?.toString();
    return size === undefined ? (asymmetricKeyType ?? 'unknown') : `${asymmetricKeyType ?? 'unknown'}-${size}`;
  } catch {
    return 'unknown';
  }
}

function tlsFailure(error: unknown, name: string): Error {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'EPROTO' || code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) {
    return new ActionFailure('tls_failed', `TLS with ${name}: no agreement (${code})`, { cause: error });
  }
  return networkFailure(error, `TLS with ${name}`);
}
