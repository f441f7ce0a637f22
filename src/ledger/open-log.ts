/** Opens the log of a database, or begins it: origin, keys, and the records that make them trusted. */

import { randomBytes } from 'node:crypto';
import type { Clock } from '../domain/clock.ts';
import type { Signer } from '../domain/signer.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { decodeBase64url } from '../proof/base64url.ts';
import { formatVerifierKey } from '../proof/note.ts';
import { AuditLogger } from './audit-logger.ts';
import { insertHead, readHead } from './log-sql.ts';
import { trustKey } from './trust.ts';

export interface OpenLog {
  origin: string;
  /** Verifier key of the log, as policies name it. */
  vkey: string;
  audit: AuditLogger;
}

/** The origin of the log in this database; a new one, whose last part is random, where there is none. */
export async function openOrigin(database: Database, name: string): Promise<string> {
  if ((await readHead(database)) === undefined) {
    await insertHead(database, `${name}/${randomBytes(8).toString('hex')}`);
  }
  const head = await readHead(database);
  if (head === undefined) throw new Error('the log could not be begun');
  return head.origin;
}

/** Makes sure that the log's own key is trusted by a record. Safe when several processes start together: a key is trusted once. */
export async function openLog(options: {
  database: Database;
  origin: string;
  logSigner: Signer;
  clock: Clock;
}): Promise<OpenLog> {
  const { database, origin, logSigner } = options;
  const audit = new AuditLogger(origin);
  const { jwk } = logSigner;
  if (jwk.kty !== 'OKP') throw new Error('the key of the log is an Ed25519 key');
  const vkey = formatVerifierKey(origin, decodeBase64url(jwk.x));
  const from = new Date(options.clock.now());
  await database.transaction((tx) => trustKey(tx, audit, { kid: logSigner.kid, jwk, use: 'log', vkey, from }));
  return { origin, vkey, audit };
}
