/** Runs one attempt of an action on this machine; whatever the tool does, there is a result. */

import { systemClock, type Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { Scope } from '../domain/scope.ts';
import type { BuiltinName } from '../domain/tool.ts';
import { AttemptLimits, untilAborted } from './attempt-limits.ts';
import type { BuiltinContext, BuiltinOutcome } from './builtin/builtin.ts';
import { builtins } from './builtin/registry.ts';
import type { CatalogAction } from './catalog.ts';
import { resolveInScope, type Lookup } from './resolve.ts';
import { ActionFailure, actionError, emptyOutput, jsonOutput, type ActionResult, type Output } from './result.ts';
import { runProgram, type ProgramOutcome } from './run-program.ts';
import { decideScope, unboundedScope } from './scope.ts';

export interface ActionContext {
  /** Undefined for a principal without one: then every public target. */
  scope: Scope | undefined;
  /** The requester holds `targets:private`. */
  allowPrivate: boolean;
  timeoutMs: number;
  /** Cancels the attempt; asked for where work goes on for a while. */
  signal: () => AbortSignal;
  /** Each attempt of a program gets a directory of its own in here. */
  workDir: string;
  traceparent?: string | undefined;
  /** Default: the machine's own. */
  lookup?: Lookup | undefined;
  clock?: Clock | undefined;
}

type Parameters = Readonly<Record<string, unknown>>;

/**
 * Runs an action with the exact bytes of a payload. The caller has verified the order and compared the tool's digest; payload and
 * targets are checked here once more, since this is where they take effect. Never throws.
 */
export async function runAction(action: CatalogAction, payload: Buffer, context: ActionContext): Promise<ActionResult> {
  const clock = context.clock ?? systemClock;
  const startedMs = clock.monotonicMs();
  const limits = new AttemptLimits(context.signal, context.timeoutMs, clock);
  let found: ProgramOutcome;
  try {
    const parameters = readPayload(action, payload);
    checkScope(action, parameters, context, clock);
    if (action.run.builtin === 'process.run') {
      const signal = limits.signal();
      await checkAddresses(action, parameters, context);
      if (limits.ended !== undefined) throw new ActionFailure('cancelled', 'ended before it began');
      found = await runProgram(action, action.run, parameters, {
        signal,
        workDir: context.workDir,
        traceparent: context.traceparent,
      });
    } else {
      // A built-in that answers at once costs no promise of its own.
      const outcome = startBuiltin(action.run.builtin, parameters, { context, clock, limits });
      found = fromBuiltin(outcome instanceof Promise ? await untilAborted(outcome, limits.signal()) : outcome);
    }
  } catch (error) {
    found = fromError(error);
  } finally {
    limits.dispose();
  }
  found.metadata['duration_ms'] = Math.round(clock.monotonicMs() - startedMs);
  return toResult(action, found, limits.ended);
}

function readPayload(action: CatalogAction, payload: Buffer): Parameters {
  let parameters: unknown;
  try {
    parameters = JSON.parse(payload.toString('utf8'));
  } catch {
    throw new ActionFailure('payload_invalid', 'the payload is not JSON');
  }
  const [error] = action.validate(parameters);
  if (error !== undefined) throw new ActionFailure('payload_invalid', `${error.path}: ${error.message}`);
  return parameters as Parameters;
}

function checkScope(action: CatalogAction, parameters: Parameters, context: ActionContext, clock: Clock): void {
  const decision = decideScope(context.scope ?? unboundedScope, {
    tool: action.tool,
    action: action.action,
    targets: action.targets(parameters),
    nowMs: clock.now(),
    allow_private: context.allowPrivate,
  });
  if (!decision.allowed) throw new ActionFailure(decision.rule, decision.detail);
}

/** A program looks names up by itself, so what can be done is to refuse to start it while a name leads outside. */
async function checkAddresses(action: CatalogAction, parameters: Parameters, context: ActionContext): Promise<void> {
  for (const target of action.targets(parameters)) {
    if (target.kind === 'host' || target.kind === 'url') await resolveInScope(context.scope, target.host, context);
  }
}

function startBuiltin(
  name: BuiltinName,
  parameters: Parameters,
  attempt: { context: ActionContext; clock: Clock; limits: AttemptLimits },
): BuiltinOutcome | Promise<BuiltinOutcome> {
  const { context, clock, limits } = attempt;
  const use: BuiltinContext = {
    clock,
    signal: () => limits.signal(),
    resolve: (host) => untilAborted(resolveInScope(context.scope, host, context), limits.signal()),
  };
  return builtins[name](parameters, use);
}

function fromBuiltin(outcome: BuiltinOutcome): ProgramOutcome {
  return { output: jsonOutput(outcome.output), error: null, retryable: false, metadata: { ...outcome.metadata } };
}

function fromError(error: unknown): ProgramOutcome {
  if (error instanceof ActionFailure) {
    const output: Output = error.output === undefined ? emptyOutput : jsonOutput(error.output);
    return { output, error: actionError(error.code, error.message), retryable: error.retryable, metadata: {} };
  }
  if (error instanceof AppError) {
    const retryable = error.code === 'unavailable';
    return { output: emptyOutput, error: actionError(error.reason, error.message), retryable, metadata: {} };
  }
  const detail = error instanceof Error ? error.message : 'unknown';
  return {
    output: emptyOutput,
    error: actionError('tool_failed', `the tool failed unexpectedly: ${detail}`),
    retryable: false,
    metadata: {},
  };
}

/** Work that had succeeded when it was cancelled, or its time was up, has succeeded. */
function toResult(
  action: CatalogAction,
  found: ProgramOutcome,
  ended: 'cancelled' | 'timed_out' | undefined,
): ActionResult {
  const { output, output_sha256, output_bytes, truncated } = found.output;
  const whole = { output, output_sha256, output_bytes, truncated, metadata: found.metadata };
  if (found.error === null) return { status: 'succeeded', retryable: false, error: null, ...whole };
  if (ended === undefined) return { status: 'failed', retryable: found.retryable, error: found.error, ...whole };
  if (ended === 'cancelled') {
    return { status: 'cancelled', retryable: false, error: actionError('cancelled', 'cancelled'), ...whole };
  }
  const error = actionError('timed_out', 'the attempt reached its time limit');
  return { status: 'timed_out', retryable: action.effects !== 'destructive', error, ...whole };
}
