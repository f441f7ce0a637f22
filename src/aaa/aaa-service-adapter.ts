/** Authentication, authorization and accounting of calls: who is it, may they, and what is written down about it. */

import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { Permission, Principal } from '../domain/principal.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { actorOf, authzOf } from './accounting.ts';
import { parseApiKey } from './api-key.ts';
import { Denials } from './denials.ts';
import { isInNetworks } from './networks.ts';
import { closeRoles } from './roles.ts';
import { TokenCache } from './token-cache.ts';
import { touchTokens, type TokenRow } from './token-sql.ts';

/** Where a call comes from; for records. */
export interface CallContext {
  ip: string | null;
  requestId: string;
}

/** What a credential allows now, or why nothing any more. */
export type Standing = { ok: true; principal: Principal } | { ok: false; reason: string };

const genericDenial = 'The credential is missing, wrong, expired or revoked. Send "Authorization: Bearer <token>".';

/** Owns the decision about every call. What it denies is recorded before the answer goes out. */
export class AAAServiceAdapter {
  readonly denials: Denials;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #cache: TokenCache;
  readonly #touched = new Set<string>();

  constructor(options: { database: Database; audit: AuditLogger; clock: Clock }) {
    this.#database = options.database;
    this.#clock = options.clock;
    this.#cache = new TokenCache(options.database, options.clock);
    this.denials = new Denials(options.database, options.audit, options.clock);
  }

  /**
   * The principal of an API key. Fails `unauthenticated` with one generic text; the precise reason goes to the log.
   * `token` is whatever the caller sent.
   */
  async authenticate(token: string, context: CallContext): Promise<Principal> {
    const parsed = parseApiKey(token);
    if (parsed === undefined) return this.#refuse('malformed_token', context);
    const row = await this.#cache.findBySha256(parsed.sha256);
    if (row === undefined) return this.#refuse('unknown_token', context);
    const standing = this.#standingOf(row, context.ip);
    if (!standing.ok) return this.#refuse(standing.reason, context, row);
    this.#touched.add(row.token_id);
    return standing.principal;
  }

  /** Fails `forbidden` unless the principal holds the permission; the denial is recorded. */
  async authorize(
    principal: Principal,
    permission: Permission,
    context: CallContext,
    target?: { kind: string; id: string },
  ): Promise<void> {
    if (principal.permissions.has(permission)) return;
    await this.denials.record({
      type: 'auth.deny',
      outcome: 'deny',
      reason: 'permission_missing',
      actor: actorOf(principal),
      authz: authzOf(principal, permission),
      request_id: context.requestId,
      ...(target === undefined ? {} : { target }),
    });
    throw new AppError('forbidden', `This needs the permission ${permission}, which none of your roles has.`, {
      reason: 'permission_missing',
    });
  }

  /** What a credential allows at this moment; used again for each task before its order is signed. */
  async standing(credentialId: string): Promise<Standing> {
    const row = await this.#cache.findById(credentialId);
    return row === undefined ? { ok: false, reason: 'unknown_token' } : this.#standingOf(row, null, true);
  }

  /** Notes which tokens were used, and writes counts of denials that are due. Called now and then. */
  async flush(options: { now?: boolean } = {}): Promise<void> {
    const touched = [...this.#touched];
    this.#touched.clear();
    if (touched.length > 0) await touchTokens(this.#database, touched);
    await this.denials.flush(options);
  }

  /** Forgets what is known of tokens: a change made here acts here at once. */
  forgetTokens(): void {
    this.#cache.clear();
  }

  #standingOf(row: TokenRow, ip: string | null, anyNetwork = false): Standing {
    if (row.revoked_at !== null) return { ok: false, reason: 'revoked_token' };
    if (row.expires_at.getTime() <= this.#clock.now()) return { ok: false, reason: 'expired_token' };
    if (row.kind === 'join') return { ok: false, reason: 'join_token' };
    if (!anyNetwork && !isInNetworks(ip, row.networks)) return { ok: false, reason: 'wrong_network' };
    const { roles, permissions } = closeRoles(row.roles);
    return {
      ok: true,
      principal: {
        id: row.name,
        kind: row.kind === 'pat' ? 'person' : 'service',
        method: 'api_key',
        credential_id: row.token_id,
        roles,
        permissions,
        scope: row.scope,
        expires_at: row.expires_at,
        networks: row.networks,
        ip,
      },
    };
  }

  async #refuse(reason: string, context: CallContext, row?: TokenRow): Promise<never> {
    await this.denials.record({
      type: 'auth.deny',
      outcome: 'deny',
      reason,
      actor: {
        id: row?.name ?? 'unknown',
        kind: 'unknown',
        ...(row === undefined ? {} : { auth: { method: 'api_key', credential_id: row.token_id } }),
        ...(context.ip === null ? {} : { ip: context.ip }),
      },
      request_id: context.requestId,
    });
    throw new AppError('unauthenticated', genericDenial, { reason: 'unauthenticated' });
  }
}
