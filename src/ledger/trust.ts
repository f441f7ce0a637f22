/** Keys that the log names as trusted: the table beside their records. */

import { newId, type RecordId } from '../domain/ids.ts';
import type { PublicJwk } from '../domain/signer.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { AuditLogger } from './audit-logger.ts';

export interface TrustedKey {
  kid: string;
  use: 'manifest' | 'node' | 'log';
  jwk: PublicJwk;
  /** Verifier key text, of a log key. */
  vkey: string | null;
  node_id: string | null;
  trusted_from: Date;
  trusted_until: Date | null;
}

/** Trusts a key by a record, in the caller's transaction; nothing happens where it is trusted already. */
export async function trustKey(
  tx: Queryable,
  audit: AuditLogger,
  key: { kid: string; use: TrustedKey['use']; jwk: PublicJwk; vkey?: string; nodeId?: string; from: Date },
): Promise<void> {
  const recordId = newId<RecordId>();
  const inserted = await tx.query({
    name: 'trust_key',
    text: `insert into trusted_keys (kid, use, jwk, vkey, node_id, trusted_from, record_id)
           values ($1, $2, $3, $4, $5, $6, $7) on conflict (kid) do nothing`,
    values: [key.kid, key.use, JSON.stringify(key.jwk), key.vkey ?? null, key.nodeId ?? null, key.from, recordId],
  });
  if (inserted.rowCount === 0) return;
  await audit.append(tx, [
    {
      id: recordId,
      type: 'key.trust',
      outcome: 'success',
      target: { kind: 'key', id: key.kid },
      data: {
        kid: key.kid,
        use: key.use,
        jwk: key.jwk,
        from: key.from.toISOString(),
        ...(key.vkey === undefined ? {} : { vkey: key.vkey }),
        ...(key.nodeId === undefined ? {} : { node_id: key.nodeId }),
      },
    },
  ]);
}

/** All keys that were ever trusted, in the order of their trust. */
export async function readTrustedKeys(db: Queryable): Promise<TrustedKey[]> {
  const found = await db.query<TrustedKey>({
    name: 'read_trusted_keys',
    text: `select kid, use, jwk, vkey, node_id, trusted_from, trusted_until from trusted_keys
            order by trusted_from, kid`,
    values: [],
  });
  return found.rows;
}
