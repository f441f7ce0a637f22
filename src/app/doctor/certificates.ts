/** When certificates end, and whether keys belong to them. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import type { Examination } from './finding.ts';

const dayMs = 86_400_000;
const warnDays = 7;

/** Certificates of a PEM text; fails where one of them cannot be read. */
export function certificatesIn(pem: string): X509Certificate[] {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return texts.map((text) => new X509Certificate(text));
}

/** A certificate, and what people call it. */
export interface NamedCertificate {
  /** Begins a sentence: `The certificate in RABBITMQ_SSL_CERTFILE`. */
  name: string;
  certificate: X509Certificate;
  /** What to do about it. */
  hint: string;
}

/** Tells whether the certificate is good now, and for how long. */
export function examineEnd(
  examination: Examination,
  check: string,
  { name, certificate, hint }: NamedCertificate,
  clock: Clock,
): void {
  const nowMs = clock.now();
  const endMs = Date.parse(certificate.validTo);
  const beginMs = Date.parse(certificate.validFrom);
  const end = new Date(endMs).toISOString().slice(0, 16).replace('T', ' ');
  const days = Math.floor((endMs - nowMs) / dayMs);
  if (endMs <= nowMs) examination.fail(check, `${name} expired at ${end} UTC.`, hint);
  else if (beginMs > nowMs) {
    const begin = new Date(beginMs).toISOString();
    examination.fail(check, `${name} is not valid before ${begin}.`, "Compare this machine's clock with that time.");
  } else if (days < warnDays) examination.warn(check, `${name} ends in ${days} days, at ${end} UTC.`, hint);
  else examination.ok(check, `${name} is good for ${days} more days.`);
}

/** The same for a file of authorities: one that has expired is told, and only where none is good it is a failure. */
export function examineAuthorities(
  examination: Examination,
  check: string,
  { name, pem, hint }: { name: string; pem: string; hint: string },
  clock: Clock,
): void {
  const authorities = readAll(pem);
  if (authorities === undefined || authorities.length === 0) {
    examination.fail(check, `${name} holds no certificate that can be read.`, 'It takes PEM: BEGIN CERTIFICATE.');
    return;
  }
  const endsMs = authorities.map(({ validTo }) => Date.parse(validTo));
  const good = authorities.filter((_, i) => (endsMs[i] ?? 0) > clock.now());
  const [lasting] = authorities.toSorted((a, b) => Date.parse(b.validTo) - Date.parse(a.validTo));
  if (lasting === undefined) return;
  if (good.length > 0 && good.length < authorities.length) {
    const expired = (authorities.length - good.length).toString();
    examination.warn(check, `${name}: ${expired} of ${authorities.length} authorities have expired.`, hint);
    return;
  }
  examineEnd(examination, check, { name, certificate: lasting, hint }, clock);
}

/** Whether the key belongs to the first certificate; `undefined` where it does, else what is wrong. */
export function keyProblem(certificatePem: string, keyPem: string, passphrase = ''): string | undefined {
  const [leaf] = readAll(certificatePem) ?? [];
  if (leaf === undefined) return 'the first holds no certificate that can be read';
  try {
    const key = createPrivateKey({ key: keyPem, format: 'pem', ...(passphrase === '' ? {} : { passphrase }) });
    return leaf.checkPrivateKey(key) ? undefined : 'the key is that of another certificate';
  } catch {
    // What the parser says may quote the key.
    return 'the second holds no private key that can be read, or the passphrase does not open it';
  }
}

function readAll(pem: string): X509Certificate[] | undefined {
  try {
    return certificatesIn(pem);
  } catch {
    return undefined;
  }
}
