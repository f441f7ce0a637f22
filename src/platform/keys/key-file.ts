/** Private keys in local files: PKCS #8 in PEM, readable by their owner alone. */

import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { AppError } from '../../domain/error.ts';
import type { SignatureAlgorithm } from '../../domain/signer.ts';
import { createWholeFile, readPrivateFile } from './private-file.ts';

export interface KeyFileOptions {
  /** PKCS #8 in PEM, mode 0600. */
  path: string;
  /** What the key is for: P-256 for ES256, Ed25519 for EdDSA. */
  algorithm: SignatureAlgorithm;
  /** Makes the key where there is none; otherwise its absence fails `not_found`. */
  create: boolean;
}

/**
 * Reads a key file. Processes that start at once with `create` all get the one key that lies there in the end. Fails
 * `invalid` for a file that others can read or that holds no key of the algorithm.
 */
export async function openKeyFile({ path, algorithm, create }: KeyFileOptions): Promise<KeyObject> {
  let pem = await readPrivateFile(path);
  if (pem === undefined && create) {
    await createWholeFile(path, generateKeyPem(algorithm), 0o600);
    pem = await readPrivateFile(path);
  }
  if (pem === undefined) {
    throw new AppError('not_found', `There is no key file ${path}.`, { reason: 'key_file_missing' });
  }
  return parseKey(path, pem, algorithm);
}

/** A new private key, PKCS #8 in PEM. */
export function generateKeyPem(algorithm: SignatureAlgorithm): string {
  const { privateKey } =
    algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function parseKey(path: string, pem: string, algorithm: SignatureAlgorithm): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem', type: 'pkcs8' });
  } catch {
    // What was read is not handed on as a cause: an error of the parser could quote the key.
    throw wrongKey(`${path} holds no private key in PEM (PKCS #8, without a password).`);
  }
  const fits =
    algorithm === 'ES256'
      ? key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
      : key.asymmetricKeyType === 'ed25519';
  if (!fits) throw wrongKey(`${path} holds no ${algorithm === 'ES256' ? 'P-256' : 'Ed25519'} key.`);
  return key;
}

function wrongKey(message: string): AppError {
  return new AppError('invalid', message, { reason: 'key_file_invalid' });
}
