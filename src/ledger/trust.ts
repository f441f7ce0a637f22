/** Keys that the log names as trusted: the table beside their records. */

import { newId, type RecordId } from '../domain/ids.ts';
import type { PublicJwk } from '../domain/signer.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { AuditLogger, RecordDraft } from './audit-logger.ts';

export interface TrustedKey {
  kid: string;
  use: 'manifest' | 'node' | 'log';
  jwk: PublicJwk;
  /** Verifier key text, of a log key. */
  vkey: string | null;
  node_id: string | null;
  trusted_from: Date;
  trusted_until: Date | null;
  /** Of a manifest key: which version it is where it lives. */
  key_version: number | null;
  /** Of a manifest key: from when it signs, until the next one does. */
  signs_from: Date | null;
}

/** A key to trust, and who wants it trusted. */
export interface NewTrust {
  kid: string;
  use: TrustedKey['use'];
  jwk: PublicJwk;
  from: Date;
  /** Of a log key. */
  vkey?: string;
  /** Of a node's key. */
  nodeId?: string;
  /** Of a manifest key. */
  signing?: { version: number; from: Date };
  by?: Pick<RecordDraft, 'actor' | 'authz' | 'request_id'>;
}

/** Trusts a key by a record, in the caller's transaction; nothing happens where it is trusted already. */
export async function trustKey(tx: Queryable, audit: AuditLogger, key: NewTrust): Promise<void> {
  const recordId = newId<RecordId>();
  const inserted = await tx.query({
    name: 'trust_key',
    text: `insert into trusted_keys (kid, use, jwk, vkey, node_id, trusted_from, record_id, key_version, signs_from)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (kid) do nothing`,
    values: [
      ...[key.kid, key.use, JSON.stringify(key.jwk), key.vkey ?? null, key.nodeId ?? null, key.from, recordId],
      ...[key.signing?.version ?? null, key.signing?.from ?? null],
    ],
  });
  if (inserted.rowCount === 0) return;
  await audit.append(tx, [
    {
      id: recordId,
      type: 'key.trust',
      outcome: 'success',
      ...key.by,
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

const trustedKeys =
  'select kid, use, jwk, vkey, node_id, trusted_from, trusted_until, key_version, signs_from from trusted_keys';
const byTrust = 'order by trusted_from, key_version, kid';

/** All keys that were ever trusted, in the order of their trust: those of all nodes too. */
export async function readTrustedKeys(db: Queryable): Promise<TrustedKey[]> {
  const text = `${trustedKeys} ${byTrust}`;
  const found = await db.query<TrustedKey>({ name: 'read_trusted_keys', text, values: [] });
  return found.rows;
}

/** Keys that manifests were ever signed with, in the order of their trust. */
export async function readManifestKeys(db: Queryable): Promise<TrustedKey[]> {
  const text = `${trustedKeys} where use = 'manifest' ${byTrust}`;
  const found = await db.query<TrustedKey>({ name: 'read_manifest_keys', text, values: [] });
  return found.rows;
}

/** Retires keys by records, in the caller's transaction: what they sign from `until` on is not believed. Those that are retired stay as they are. */
export async function retireKeys(
  tx: Queryable,
  audit: AuditLogger,
  kids: readonly string[],
  until: Date,
  by: NewTrust['by'],
): Promise<void> {
  const retired = await tx.query<{ kid: string }>({
    name: 'retire_keys',
    text: 'update trusted_keys set trusted_until = $2 where kid = any ($1::text[]) and trusted_until is null returning kid',
    values: [kids, until],
  });
  await audit.append(
    tx,
    retired.rows.map(({ kid }) => ({
      type: 'key.retire',
      outcome: 'success',
      ...by,
      target: { kind: 'key', id: kid },
      data: { kid, until: until.toISOString() },
    })),
  );
}

/** The place in the log of the record that trusts a key; undefined while it waits to be chained. */
export async function findTrustRecord(db: Queryable, kid: string): Promise<number | undefined> {
  const found = await db.query<{ seq: number }>({
    name: 'find_trust_record',
    text: 'select l.seq from trusted_keys k join audit_log l on l.id = k.record_id where k.kid = $1',
    values: [kid],
  });
  return found.rows[0]?.seq;
}
