/** Creating, listing and revoking API keys. */

import { z } from 'zod';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { newId, type TokenId } from '../domain/ids.ts';
import type { Principal } from '../domain/principal.ts';
import { name } from '../domain/task.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { actorOf, authzOf } from './accounting.ts';
import { generateApiKey, parseApiKey } from './api-key.ts';
import { isNetwork, isNetworkWithin } from './networks.ts';
import { builtInRoles, closeRoles } from './roles.ts';
import { scopeExists } from './scope-store.ts';
import { findTokensByName, insertToken, listTokens, revokeToken, type TokenRow } from './token-sql.ts';

const yearS = 366 * 86_400;
/** Names that stand in records for no credential. */
const ownNames: readonly string[] = ['writ', 'unknown'];
/** A join token is used at once or not at all. */
const joinLifetimeMaxS = 900;

/** What `POST /api/v1/tokens` takes. */
export const tokenRequest = z.strictObject({
  name,
  kind: z.enum(['pat', 'svc', 'join']),
  roles: z.array(name).max(16),
  scope: name.optional(),
  networks: z.array(z.string().refine(isNetwork, 'an address or a CIDR network')).max(32).optional(),
  expires_in_s: z.int().min(1).max(yearS),
});
export type TokenRequest = z.infer<typeof tokenRequest>;

/** A token as lists show it. */
export interface TokenView {
  token_id: string;
  prefix: string;
  name: string;
  kind: string;
  roles: string[];
  scope: string | null;
  networks: string[];
  created_by: string;
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
  last_used_at: string | null;
}

export function tokenView(row: TokenRow): TokenView {
  const { token_id, prefix, name: principal, kind, roles, scope, networks, created_by } = row;
  return {
    token_id,
    prefix,
    name: principal,
    kind,
    roles,
    scope,
    networks,
    created_by,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
    last_used_at: row.last_used_at?.toISOString() ?? null,
  };
}

interface TokenContext {
  audit: AuditLogger;
  clock: Clock;
  requestId: string;
}

/**
 * Makes a credential in the caller's transaction and answers its text, which is shown this once. Nobody grants what they
 * do not hold: roles beyond the creator's own, a wider scope, or another principal's name are refused and recorded by the door.
 */
export async function createToken(
  tx: Queryable,
  creator: Principal,
  request: TokenRequest,
  context: TokenContext,
): Promise<TokenView & { token: string }> {
  await checkGrant(tx, creator, request, context.clock.now());
  const token = generateApiKey(request.kind);
  const parsed = parseApiKey(token);
  if (parsed === undefined) throw new AppError('internal', 'a key that was just made does not parse');
  const row = await insertToken(tx, {
    token_id: newId<TokenId>(),
    sha256: parsed.sha256,
    prefix: parsed.prefix,
    kind: request.kind,
    name: request.name,
    roles: request.roles,
    scope: request.scope ?? creator.scope,
    networks: request.networks ?? creator.networks,
    created_by: creator.id,
    expires_at: new Date(context.clock.now() + request.expires_in_s * 1000),
  });
  const view = tokenView(row);
  await context.audit.append(tx, [tokenRecord('token.create', creator, view, context.requestId)]);
  return { ...view, token };
}

async function checkGrant(tx: Queryable, creator: Principal, request: TokenRequest, nowMs: number): Promise<void> {
  const unknown = request.roles.filter((role) => !Object.hasOwn(builtInRoles, role) || role === 'node');
  if (unknown.length > 0) {
    throw new AppError('invalid', `There is no role ${unknown.join(', ')}.`, {
      reason: 'unknown_role',
      errors: [
        {
          path: 'roles',
          message: `known roles: ${Object.keys(builtInRoles)
            .filter((r) => r !== 'node')
            .join(', ')}`,
        },
      ],
    });
  }
  const wanted = closeRoles(request.roles);
  const missing = [
    ...[...wanted.roles].filter((role) => !creator.roles.has(role)),
    ...[...wanted.permissions].filter((permission) => !creator.permissions.has(permission)),
  ];
  if (missing.length > 0) {
    throw new AppError('forbidden', `You cannot grant what you do not hold: ${missing.join(', ')}.`, {
      reason: 'grant_exceeds_own',
    });
  }
  if (creator.scope !== null && request.scope !== undefined && request.scope !== creator.scope) {
    throw new AppError('forbidden', 'You are bound to a scope and can only grant that one.', {
      reason: 'grant_exceeds_own',
    });
  }
  if (request.scope !== undefined && !(await scopeExists(tx, request.scope))) {
    throw new AppError('invalid', `There is no scope ${request.scope}.`, { reason: 'unknown_scope' });
  }
  if (request.networks?.every((network) => isNetworkWithin(network, creator.networks)) === false) {
    throw new AppError('forbidden', 'Your credential is bound to networks; you can only grant those.', {
      reason: 'grant_exceeds_own',
    });
  }
  if (request.kind === 'join' && (request.roles.length > 0 || request.expires_in_s > joinLifetimeMaxS)) {
    throw new AppError('invalid', `A join token has no roles and lives ${joinLifetimeMaxS.toString()} s at most.`, {
      reason: 'invalid_join_token',
    });
  }
  await checkName(tx, creator, request, nowMs);
}

/** A name is a principal's: who makes a credential for one that exists must hold whatever it holds, or be it. */
async function checkName(tx: Queryable, creator: Principal, request: TokenRequest, nowMs: number): Promise<void> {
  if (ownNames.includes(request.name)) {
    throw new AppError('invalid', `The name ${request.name} is Writ's own.`, { reason: 'reserved_name' });
  }
  const others = await findTokensByName(tx, request.name);
  const live = others.filter(({ revoked_at, expires_at }) => revoked_at === null && expires_at.getTime() > nowMs);
  const held = closeRoles(live.flatMap(({ roles }) => roles)).roles;
  if (request.name !== creator.id && [...held].some((role) => !creator.roles.has(role))) {
    throw new AppError('forbidden', `${request.name} is a principal with roles that you do not hold.`, {
      reason: 'grant_exceeds_own',
    });
  }
  const kind = others[0]?.kind;
  if (kind !== undefined && kind !== request.kind) {
    throw new AppError('conflict', `The name ${request.name} belongs to a principal of another kind.`, {
      reason: 'name_taken',
    });
  }
}

/** Revokes in the caller's transaction. Twice is no error; an unknown id is `not_found`. */
export async function revoke(tx: Queryable, actor: Principal, tokenId: string, context: TokenContext): Promise<void> {
  const outcome = await revokeToken(tx, tokenId);
  if (outcome === 'unknown') throw new AppError('not_found', 'There is no such token.');
  if (outcome === 'already') return;
  await context.audit.append(tx, [
    {
      type: 'token.revoke',
      outcome: 'success',
      actor: actorOf(actor),
      authz: authzOf(actor, 'tokens:revoke'),
      target: { kind: 'token', id: tokenId },
      request_id: context.requestId,
    },
  ]);
}

/** A page of tokens, newest first. */
export async function readTokens(db: Queryable, before: string | null, limit: number): Promise<TokenView[]> {
  return (await listTokens(db, before, limit)).map(tokenView);
}

function tokenRecord(type: string, actor: Principal, view: TokenView, requestId: string): RecordDraft {
  return {
    type,
    outcome: 'success',
    actor: actorOf(actor),
    authz: authzOf(actor, 'tokens:create'),
    target: { kind: 'token', id: view.token_id },
    data: {
      name: view.name,
      kind: view.kind,
      roles: view.roles,
      expires_at: view.expires_at,
      networks: view.networks,
      ...(view.scope === null ? {} : { scope: view.scope }),
    },
    request_id: requestId,
  };
}
