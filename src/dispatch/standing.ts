/** Decides again, right before an order is signed, whether its requester may have it run. */

import type { AAAServiceAdapter } from '../aaa/aaa-service-adapter.ts';
import type { ScopeStore } from '../aaa/scope-store.ts';
import type { Clock } from '../domain/clock.ts';
import { effectiveScope, privateScope, type Principal } from '../domain/principal.ts';
import type { Scope } from '../domain/scope.ts';
import type { Catalog, CatalogAction } from '../tools/catalog.ts';
import { decideScope, unboundedScope } from '../tools/scope.ts';
import type { OrderedTask } from './build-manifest.ts';

export interface StandingContext {
  aaa: AAAServiceAdapter;
  scopes: ScopeStore;
  catalog: Catalog;
  clock: Clock;
}

/** Tasks that may be ordered, and the others by the reason why not. */
export interface StandingDecision {
  allowed: OrderedTask[];
  refused: Map<string, OrderedTask[]>;
}

/** Checks credential, role, catalog and scope of each task by what is true now. One look-up for each credential. */
export async function decideStanding(
  tasks: readonly OrderedTask[],
  context: StandingContext,
): Promise<StandingDecision> {
  const credentials = new Map<string, Principal | string>();
  for (const { credential_id } of tasks) {
    if (credentials.has(credential_id)) continue;
    const standing = await context.aaa.standing(credential_id);
    credentials.set(credential_id, standing.ok ? standing.principal : standing.reason);
  }
  const scopes = await context.scopes.current();
  const decision: StandingDecision = { allowed: [], refused: new Map() };
  for (const task of tasks) {
    const reason = refusalOf(task, credentials.get(task.credential_id) ?? 'unknown_token', scopes, context);
    if (reason === undefined) decision.allowed.push(task);
    else decision.refused.set(reason, [...(decision.refused.get(reason) ?? []), task]);
  }
  return decision;
}

function refusalOf(
  task: OrderedTask,
  principal: Principal | string,
  scopes: ReadonlyMap<string, Scope>,
  { catalog, clock }: StandingContext,
): string | undefined {
  if (typeof principal === 'string') return principal;
  if (!principal.roles.has(task.required_role)) return 'role_missing';
  const action = catalog.find(task.tool, task.action);
  if (action === undefined) return 'unknown_action';
  const isUpgraded = action.digest !== task.tool_digest;
  if (isUpgraded && (!principal.roles.has(action.required_role) || action.effects !== task.effects))
    return 'tool_changed';
  if (effectiveScope(principal) !== task.scope) return 'scope_changed';
  const isBound = task.scope !== null && task.scope !== privateScope;
  if (!isBound && !hasTargets(action) && !isUpgraded) return undefined;
  const scope = isBound ? scopes.get(task.scope ?? '') : undefined;
  if (isBound && scope === undefined) return 'scope_missing';
  const payload = JSON.parse(task.payload.toString('utf8')) as Record<string, unknown>;
  if (isUpgraded && action.validate(payload).length > 0) return 'invalid_payload';
  const decided = decideScope(scope ?? unboundedScope, {
    tool: task.tool,
    action: task.action,
    targets: action.targets(payload),
    nowMs: clock.now(),
    allow_private: task.scope === privateScope,
  });
  return decided.allowed ? undefined : decided.rule;
}

const actionsWithTargets = new WeakMap<CatalogAction, boolean>();

/** Whether any parameter of the action names a target; without one, an unbound requester's payload need not be read. */
function hasTargets(action: CatalogAction): boolean {
  let has = actionsWithTargets.get(action);
  if (has === undefined) {
    has = JSON.stringify(action.parameters).includes('"x-writ-target"');
    actionsWithTargets.set(action, has);
  }
  return has;
}
