/** A key and a certificate for a listener of this machine. */

import type { Authority } from '../../domain/authority.ts';
import { createCertificateRequest } from './certificate-request.ts';

/** What a TLS listener is set up with. */
export interface ListenerCertificate {
  /** PKCS #8 in PEM. */
  keyPem: string;
  /** The certificate and its chain up to the root, PEM. */
  certificatePem: string;
  notAfter: Date;
}

/** Names under which a listener on loopback is reached. */
const loopbackNames = ['localhost', '127.0.0.1', '::1'];

/** A new key and its server certificate, for loopback where no other names are given; the first is the common name. */
export async function createListenerCertificate(
  authority: Authority,
  { names = loopbackNames, lifetimeS = 90 * 86_400 }: { names?: readonly string[]; lifetimeS?: number } = {},
): Promise<ListenerCertificate> {
  const commonName = (names[0] ?? 'localhost').slice(0, 64);
  const { keyPem, csrPem } = await createCertificateRequest(commonName);
  const issued = await authority.issue({ csrPem, commonName, names, usage: 'server', lifetimeS });
  return { keyPem, ...issued };
}
