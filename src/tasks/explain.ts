/** Says why a task is not running, in codes that programs understand and sentences that people do. */

import { isEndState, type TaskState } from '../domain/task-state.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { Catalog } from '../tools/catalog.ts';
import { candidatesOf, type Candidates } from './candidates.ts';
import { aheadMax, readNodeLoads, readWaiting, type WaitingRow } from './explain-sql.ts';
import { requireTaskRow } from './read-tasks.ts';

/** How the parts stand that every dispatch needs; told by the process that is asked. */
export interface SystemState {
  signer_ok: boolean;
  broker_ok: boolean;
  /** Why nothing may be signed; null where the log is the one that its mark knows. */
  fenced_reason: string | null;
  /** Whether some orchestrator leads. */
  leading: boolean;
}

/** Why a task is not running. A closed list, documented in docs/errors.md. */
export const explainCodes = [
  'ended',
  'running',
  'dispatched_to_node',
  'cancel_requested',
  'in_doubt',
  'run_at',
  'retry_backoff',
  'fenced',
  'signer_down',
  'broker_down',
  'not_leading',
  'unknown_action',
  'no_node',
  'no_free_slot',
  'in_line',
] as const;
export type ExplainCode = (typeof explainCodes)[number];

export interface ExplainReason {
  code: ExplainCode;
  detail: string;
  node_id?: string;
  /** When the reason ends by itself. */
  until?: string;
  /** Tasks that go before it, counted up to a thousand. */
  ahead?: number;
  /** What no node has: the tool as the catalog has it, on a node with these labels. */
  needs?: { tool: string; digest: string | null; constraints: Record<string, string> };
}

export interface Explanation {
  task_id: string;
  state: TaskState;
  reasons: ExplainReason[];
  /** Nodes that could run it; null where that does not matter any more. */
  candidate_nodes: number | null;
}

/** All reasons that hold now, the most telling first. Fails `not_found`. */
export async function explainTask(
  db: Queryable,
  taskId: string,
  context: { catalog: Catalog; system: SystemState },
): Promise<Explanation> {
  const task = await requireTaskRow(db, taskId);
  const live = isEndState(task.state) ? undefined : await readWaiting(db, taskId);
  if (live === undefined) {
    const detail = `The task has ended: ${task.state}${task.reason === null ? '' : ` (${task.reason})`}.`;
    return { task_id: taskId, state: task.state, reasons: [{ code: 'ended', detail }], candidate_nodes: null };
  }
  const state = live.state as TaskState;
  if (live.manifest !== null) {
    return { task_id: taskId, state, reasons: reasonsInHand(live), candidate_nodes: null };
  }
  const candidates = candidatesOf(live, await readNodeLoads(db), context.catalog);
  const reasons = [
    ...reasonsOfTime(live),
    ...reasonsOfSystem(context.system),
    ...reasonsOfNodes(live, candidates, context.catalog),
  ];
  if (reasons.length === 0) reasons.push(inLine(live));
  return { task_id: taskId, state, reasons, candidate_nodes: candidates.able.length };
}

/** A node has it, or had it. */
function reasonsInHand(live: WaitingRow): ExplainReason[] {
  const node = live.node_id === null ? {} : { node_id: live.node_id };
  const reasons: ExplainReason[] = [];
  if (live.state === 'in_doubt') {
    return [
      {
        code: 'in_doubt',
        detail: 'Its node was lost and it may have run: a late receipt or a person settles it.',
        ...node,
      },
    ];
  }
  if (live.is_cancel_requested) {
    reasons.push({
      code: 'cancel_requested',
      detail: 'Its node is asked to stop it and has not answered yet.',
      ...node,
    });
  }
  if (live.state === 'running') reasons.push({ code: 'running', detail: 'It runs now.', ...node });
  else
    reasons.push({
      code: 'dispatched_to_node',
      detail: 'Its order is with a node, which has not said yet that it started.',
      ...node,
    });
  return reasons;
}

function reasonsOfTime({ wake_at, attempt, reason }: WaitingRow): ExplainReason[] {
  if (wake_at === null) return [];
  const until = wake_at.toISOString();
  return attempt === 0
    ? [{ code: 'run_at', detail: `It is to start at ${until}, not before.`, until }]
    : [
        {
          code: 'retry_backoff',
          detail: `Attempt ${attempt.toString()} ended (${reason ?? 'failed'}); the next is due at ${until}.`,
          until,
        },
      ];
}

function reasonsOfSystem(system: SystemState): ExplainReason[] {
  const reasons: ExplainReason[] = [];
  if (system.fenced_reason !== null) {
    reasons.push({
      code: 'fenced',
      detail: `The audit log is not the one that was signed (${system.fenced_reason}): nothing is dispatched.`,
    });
  }
  if (!system.signer_ok)
    reasons.push({ code: 'signer_down', detail: 'The signer does not answer: orders cannot be signed.' });
  if (!system.broker_ok)
    reasons.push({ code: 'broker_down', detail: 'The broker does not answer: orders cannot be sent.' });
  if (!system.leading)
    reasons.push({
      code: 'not_leading',
      detail: 'No orchestrator leads at the moment: another takes over within seconds.',
    });
  return reasons;
}

function reasonsOfNodes(live: WaitingRow, { able, free }: Candidates, catalog: Catalog): ExplainReason[] {
  const action = catalog.find(live.tool, live.action);
  if (action === undefined) {
    return [{ code: 'unknown_action', detail: `The catalog no longer has ${live.tool}.${live.action}.` }];
  }
  if (able.length === 0) {
    const needs = { tool: live.tool, digest: action.digest, constraints: live.constraints };
    return [
      {
        code: 'no_node',
        detail: 'No node that is heard of has this tool as the catalog has it, with these labels.',
        needs,
      },
    ];
  }
  if (free.length === 0) {
    return [{ code: 'no_free_slot', detail: 'Every node that could run it is full.', ahead: live.ahead }];
  }
  return [];
}

function inLine({ ahead }: WaitingRow): ExplainReason {
  const count = ahead >= aheadMax ? `${aheadMax.toString()} or more` : ahead.toString();
  return {
    code: 'in_line',
    detail: `It is next when its turn comes; ${count} of the same requester and source go before it.`,
    ahead,
  };
}
