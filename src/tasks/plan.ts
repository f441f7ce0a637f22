/** Decides about one submitted task: form, tool, parameters, role, scope; nothing is stored here. */

import type { Clock } from '../domain/clock.ts';
import { AppError, type FieldError } from '../domain/error.ts';
import { newId, type TaskId } from '../domain/ids.ts';
import { effectiveScope, privateScope, type Principal } from '../domain/principal.ts';
import type { Scope } from '../domain/scope.ts';
import { payloadMaxBytes, submission, type Submission } from '../domain/task.ts';
import { roleImplies } from '../aaa/roles.ts';
import type { Catalog, CatalogAction } from '../tools/catalog.ts';
import { decideScope, unboundedScope } from '../tools/scope.ts';
import { canonicalizeWithFloats } from '../proof/canonical-json.ts';
import { RepeatedHash } from '../proof/hash.ts';
import { taskHasher } from '../proof/manifest.ts';
import { ProofError } from '../proof/proof-error.ts';
import type { z } from 'zod';

const payloadHash = new RepeatedHash();

/** One priority point is worth so much waiting. */
export interface TaskDefaults {
  priorityMs: number;
  maxAttempts: number;
  retryInitialS: number;
  retryMaxS: number;
}

/** A task that may be accepted: every column of its rows. */
export interface PlannedTask {
  task_id: TaskId;
  source: string;
  action: CatalogAction;
  payload: Buffer;
  payload_value: Record<string, unknown>;
  /** Hashes in lower-case hex. */
  payload_sha256: string;
  task_sha256: string;
  required_role: string;
  scope: string | null;
  priority: number;
  run_at: Date | null;
  expires_at: Date | null;
  timeout_s: number;
  max_attempts: number;
  retry_initial_s: number;
  retry_max_s: number;
  affinity: string | null;
  constraints: Record<string, string>;
  tags: string[];
  labels: Record<string, string>;
  traceparent: string | null;
  requested_by: string;
  credential_id: string;
  created_at: Date;
  /** Milliseconds since the epoch less what the priority is worth; smaller goes first. */
  rank: number;
  /** Not before; null where it is due. */
  wake_at: Date | null;
}

/** What decisions are made with. */
export interface PlanContext {
  principal: Principal;
  catalog: Catalog;
  scopes: ReadonlyMap<string, Scope>;
  defaults: TaskDefaults;
  clock: Clock;
  /** What tasks of one call have in common is hashed once. */
  hashers: Map<string, (payloadSha256: string) => string>;
}

/** The task that a submission asks for, or an AppError that says why not. `item` is whatever the caller sent. */
export function planTask(item: unknown, context: PlanContext): PlannedTask {
  const { principal, clock, defaults } = context;
  const wanted = parse(item);
  const action = context.catalog.find(wanted.tool, wanted.action);
  if (action === undefined) throw unknownAction(wanted, context.catalog);
  const value = wanted.payload ?? {};
  const payload = payloadBytes(value);
  const errors = action.validate(value);
  if (errors.length > 0)
    throw invalid('The payload does not fit the action.', 'invalid_payload', prefix(errors, 'payload'));
  const requiredRole = checkRole(wanted, action, principal);
  checkScope(wanted, action, value, context);

  const nowMs = clock.now();
  const runAt = wanted.run_at === undefined ? null : new Date(wanted.run_at);
  const expiresAt = wanted.expires_at === undefined ? null : new Date(wanted.expires_at);
  checkTimes(runAt, expiresAt, nowMs);
  const due = runAt !== null && runAt.getTime() > nowMs ? runAt.getTime() : nowMs;
  const priority = wanted.priority ?? 50;
  const timeoutS = wanted.timeout_s ?? action.timeout_s;
  const payloadSha256 = payloadHash.hex(payload);
  const scope = effectiveScope(principal);
  const hashTask = hasherOf(action, { timeout_s: timeoutS, scope, required_role: requiredRole }, context);
  return {
    task_id: newId<TaskId>(),
    source: wanted.source ?? principal.id,
    action,
    payload,
    payload_value: value,
    payload_sha256: payloadSha256,
    task_sha256: hashTask(payloadSha256),
    required_role: requiredRole,
    scope,
    priority,
    run_at: runAt,
    expires_at: expiresAt,
    timeout_s: timeoutS,
    max_attempts: wanted.retry?.max_attempts ?? defaults.maxAttempts,
    retry_initial_s: wanted.retry?.initial_s ?? defaults.retryInitialS,
    retry_max_s: wanted.retry?.max_s ?? defaults.retryMaxS,
    affinity: wanted.affinity ?? null,
    constraints: wanted.constraints ?? {},
    tags: wanted.tags ?? [],
    labels: wanted.labels ?? {},
    traceparent: wanted.traceparent ?? null,
    requested_by: principal.id,
    credential_id: principal.credential_id,
    created_at: new Date(nowMs),
    rank: due - priority * defaults.priorityMs,
    wake_at: due > nowMs ? new Date(due) : null,
  };
}

function hasherOf(
  action: CatalogAction,
  asked: { timeout_s: number; scope: string | null; required_role: string },
  { hashers, principal }: PlanContext,
): (payloadSha256: string) => string {
  const key = `${action.tool} ${action.action} ${asked.timeout_s.toString()} ${asked.required_role}`;
  let hasher = hashers.get(key);
  if (hasher === undefined) {
    const { tool, digest: tool_digest, effects } = action;
    hasher = taskHasher({ ...asked, tool, tool_digest, action: action.action, effects, requested_by: principal.id });
    hashers.set(key, hasher);
  }
  return hasher;
}

function parse(item: unknown): Submission {
  const parsed = submission.safeParse(item);
  if (parsed.success) return parsed.data;
  throw invalid('The task is not of the documented form.', 'invalid_task', fieldErrors(parsed.error));
}

/** The members that zod found wrong, with dotted paths. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.slice(0, 20).map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.code === 'unrecognized_keys' ? `unknown member ${issue.keys.join(', ')}` : issue.message,
  }));
}

function payloadBytes(value: Record<string, unknown>): Buffer {
  try {
    const bytes = Buffer.from(canonicalizeWithFloats(value), 'utf8');
    if (bytes.length <= payloadMaxBytes) return bytes;
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    throw invalid(`The payload is not acceptable JSON: ${error.message}.`, 'invalid_payload', [
      { path: 'payload', message: error.message },
    ]);
  }
  throw new AppError('too_large', `A payload has at most ${payloadMaxBytes.toString()} bytes.`, {
    reason: 'payload_too_large',
  });
}

function unknownAction(wanted: Submission, catalog: Catalog): AppError {
  const tool = catalog.tools.get(wanted.tool);
  return tool === undefined
    ? invalid(`There is no tool ${wanted.tool}.`, 'unknown_tool', [
        { path: 'tool', message: `known tools: ${[...catalog.tools.keys()].sort().join(', ')}` },
      ])
    : invalid(`The tool ${wanted.tool} has no action ${wanted.action}.`, 'unknown_action', [
        { path: 'action', message: `known actions: ${[...tool.actions.keys()].sort().join(', ')}` },
      ]);
}

/** The submitter may ask for a stronger role than the catalog's, never for another or a weaker one. */
function checkRole(wanted: Submission, action: CatalogAction, principal: Principal): string {
  const role = wanted.required_role ?? action.required_role;
  if (!roleImplies(role, action.required_role)) {
    throw invalid('required_role may only raise what the action demands.', 'role_lowered', [
      { path: 'required_role', message: `must include ${action.required_role}` },
    ]);
  }
  if (!principal.roles.has(role)) {
    throw new AppError('forbidden', `The action ${action.tool}.${action.action} needs the role ${role}.`, {
      reason: 'role_missing',
    });
  }
  return role;
}

function checkScope(
  wanted: Submission,
  action: CatalogAction,
  value: Record<string, unknown>,
  context: PlanContext,
): void {
  const { principal } = context;
  const scope = principal.scope === null ? undefined : context.scopes.get(principal.scope);
  if (principal.scope !== null && scope === undefined) {
    throw new AppError('forbidden', `The scope ${principal.scope} does not exist any more.`, {
      reason: 'scope_missing',
    });
  }
  const decision = decideScope(scope ?? unboundedScope, {
    tool: wanted.tool,
    action: wanted.action,
    targets: action.targets(value),
    nowMs: context.clock.now(),
    allow_private: effectiveScope(principal) === privateScope,
  });
  if (!decision.allowed) throw new AppError('forbidden', decision.detail, { reason: decision.rule });
}

function checkTimes(runAt: Date | null, expiresAt: Date | null, nowMs: number): void {
  if (expiresAt !== null && expiresAt.getTime() <= Math.max(nowMs, runAt?.getTime() ?? 0)) {
    throw invalid('The task would expire before it may start.', 'invalid_task', [
      { path: 'expires_at', message: 'must lie in the future and after run_at' },
    ]);
  }
}

function prefix(errors: FieldError[], member: string): FieldError[] {
  return errors.map(({ path, message }) => ({ path: path === '' ? member : `${member}.${path}`, message }));
}

function invalid(message: string, reason: string, errors: FieldError[]): AppError {
  return new AppError('invalid', message, { reason, errors });
}
