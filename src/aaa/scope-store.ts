/** Scopes: kept in the database, held in memory for the seconds that the design allows. */

import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { reservedScopePrefix, type Principal } from '../domain/principal.ts';
import type { Scope } from '../domain/scope.ts';
import type { AuditLogger } from '../ledger/audit-logger.ts';
import type { Database, Queryable } from '../platform/postgres/pool.ts';
import { canonicalizeWithFloats } from '../proof/canonical-json.ts';
import { sha256Hex } from '../proof/hash.ts';
import { actorOf, authzOf } from './accounting.ts';
import { tokenCacheMs } from './token-cache.ts';

export async function scopeExists(db: Queryable, name: string): Promise<boolean> {
  const found = await db.query({ name: 'scope_exists', text: 'select from scopes where name = $1', values: [name] });
  return found.rowCount === 1;
}

/** All scopes by name. There are few: they are read as a whole. */
export async function readScopes(db: Queryable): Promise<Map<string, Scope>> {
  const found = await db.query<{ definition: Scope }>({
    name: 'read_scopes',
    text: 'select definition from scopes order by name',
    values: [],
  });
  return new Map(found.rows.map(({ definition }) => [definition.name, definition]));
}

/** Makes or replaces a scope in the caller's transaction; a caller who is bound to a scope cannot. */
export async function writeScope(
  tx: Queryable,
  actor: Principal,
  scope: Scope,
  context: { audit: AuditLogger; requestId: string },
): Promise<void> {
  if (scope.name.startsWith(reservedScopePrefix)) {
    throw new AppError('invalid', `Names that begin with "${reservedScopePrefix}" are Writ's own.`, {
      reason: 'reserved_name',
    });
  }
  if (actor.scope !== null) {
    throw new AppError('forbidden', 'You are bound to a scope and cannot define scopes.', {
      reason: 'grant_exceeds_own',
    });
  }
  await tx.query({
    name: 'write_scope',
    text: `insert into scopes (name, definition, version) values ($1, $2, nextval('scope_versions'))
           on conflict (name) do update set definition = excluded.definition, version = excluded.version, updated_at = now()`,
    values: [scope.name, JSON.stringify(scope)],
  });
  await context.audit.append(tx, [
    {
      type: 'scope.write',
      outcome: 'success',
      actor: actorOf(actor),
      authz: authzOf(actor, 'scopes:write'),
      target: { kind: 'scope', id: scope.name },
      data: { definition_sha256: sha256Hex(canonicalizeWithFloats(scope)), tools: scope.tools, targets: scope.targets },
      request_id: context.requestId,
    },
  ]);
}

/** Scopes in memory, read again when they are older than a credential may be. */
export class ScopeStore {
  readonly #database: Database;
  readonly #clock: Clock;
  #scopes: ReadonlyMap<string, Scope> = new Map();
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** The scopes as they were at most a few seconds ago. Concurrent calls share one query. */
  async current(): Promise<ReadonlyMap<string, Scope>> {
    if (this.#clock.monotonicMs() - this.#loadedAtMs >= tokenCacheMs) {
      this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
      await this.#loading;
    }
    return this.#scopes;
  }

  /** The next call reads the database: a change made here acts here at once. */
  forget(): void {
    this.#loadedAtMs = Number.NEGATIVE_INFINITY;
  }

  async #load(): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    this.#scopes = await readScopes(this.#database);
    this.#loadedAtMs = startedMs;
  }
}
