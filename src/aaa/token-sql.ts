/** Statements on the table of tokens. */

import type { Queryable } from '../platform/postgres/pool.ts';

/** A stored credential; the text that it stands for is nowhere. */
export interface TokenRow {
  token_id: string;
  prefix: string;
  kind: 'pat' | 'svc' | 'join';
  name: string;
  roles: string[];
  scope: string | null;
  networks: string[];
  created_by: string;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  last_used_at: Date | null;
}

const columns =
  'token_id, prefix, kind, name, roles, scope, networks, created_by, created_at, expires_at, revoked_at, last_used_at';

export async function findTokenBySha256(db: Queryable, sha256: Buffer): Promise<TokenRow | undefined> {
  const found = await db.query<TokenRow>({
    name: 'find_token_by_sha256',
    text: `select ${columns} from tokens where sha256 = $1`,
    values: [sha256],
  });
  return found.rows[0];
}

export async function findTokensById(db: Queryable, ids: readonly string[]): Promise<TokenRow[]> {
  const found = await db.query<TokenRow>({
    name: 'find_tokens_by_id',
    text: `select ${columns} from tokens where token_id = any ($1::uuid[])`,
    values: [ids],
  });
  return found.rows;
}

/** Tokens by id, descending: newest first. */
export async function listTokens(db: Queryable, before: string | null, limit: number): Promise<TokenRow[]> {
  const found = await db.query<TokenRow>({
    name: 'list_tokens',
    text: `select ${columns} from tokens where $1::uuid is null or token_id < $1 order by token_id desc limit $2`,
    values: [before, limit],
  });
  return found.rows;
}

export interface NewToken {
  token_id: string;
  sha256: Buffer;
  prefix: string;
  kind: 'pat' | 'svc' | 'join';
  name: string;
  roles: readonly string[];
  scope: string | null;
  networks: readonly string[];
  created_by: string;
  expires_at: Date;
}

export async function insertToken(db: Queryable, token: NewToken): Promise<TokenRow> {
  const inserted = await db.query<TokenRow>({
    name: 'insert_token',
    text: `insert into tokens (token_id, sha256, prefix, kind, name, roles, scope, networks, created_by, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning ${columns}`,
    values: [
      token.token_id,
      token.sha256,
      token.prefix,
      token.kind,
      token.name,
      token.roles,
      token.scope,
      token.networks,
      token.created_by,
      token.expires_at,
    ],
  });
  const row = inserted.rows[0];
  if (row === undefined) throw new Error('insert returned no row');
  return row;
}

/** Credentials of a principal, the newest first; those that ended too, since a name stays its principal's. */
export async function findTokensByName(db: Queryable, name: string): Promise<TokenRow[]> {
  const found = await db.query<TokenRow>({
    name: 'find_tokens_by_name',
    text: `select ${columns} from tokens where name = $1 order by token_id desc limit 100`,
    values: [name],
  });
  return found.rows;
}

/** Whether the token was there and not revoked before. */
export async function revokeToken(db: Queryable, tokenId: string): Promise<'revoked' | 'already' | 'unknown'> {
  const updated = await db.query({
    name: 'revoke_token',
    text: 'update tokens set revoked_at = now() where token_id = $1 and revoked_at is null',
    values: [tokenId],
  });
  if (updated.rowCount === 1) return 'revoked';
  return (await findTokensById(db, [tokenId])).length === 0 ? 'unknown' : 'already';
}

/** Notes the use of tokens, coarsely: at most once a minute for each. */
export async function touchTokens(db: Queryable, ids: readonly string[]): Promise<void> {
  await db.query({
    name: 'touch_tokens',
    text: `update tokens set last_used_at = now()
            where token_id = any ($1::uuid[]) and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
    values: [ids],
  });
}
