/** Key pairs and the requests (PKCS #10) by which an authority is asked to certify them. */

// The X.509 library does not load without this polyfill.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto, type KeyObject } from 'node:crypto';
import { Name, Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import { generateKeyPem } from './key-file.ts';

/** ECDSA on P-256 with SHA-256, as Web Crypto names it. */
export const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** A new P-256 key (PKCS #8) and a request signed with it, both PEM. The authority decides on subject and names. */
export async function createCertificateRequest(commonName: string): Promise<{ keyPem: string; csrPem: string }> {
  const keyPem = generateKeyPem('ES256');
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: toCommonName(commonName),
    keys: await toCryptoKeyPair(createPrivateKey(keyPem)),
    signingAlgorithm: ecdsaP256,
  });
  return { keyPem, csrPem: `${request.toString('pem')}\n` };
}

/**
 * A subject of one common name with exactly this text. The library reads plain strings as a notation of their own, with
 * quotes and raw encodings, so text that somebody chose is never given as one.
 */
export function toCommonName(text: string): Name {
  return new Name([{ CN: [{ utf8String: text }] }]);
}

/** Both halves of a P-256 key in the form that the X.509 library signs with. */
export async function toCryptoKeyPair(privateKey: KeyObject): Promise<webcrypto.CryptoKeyPair> {
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, ecdsaP256, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, ecdsaP256, true, ['verify']),
  };
}
