/** A queued task as the scheduler holds it and the dispatcher signs it. */

import type { Effects } from '../proof/manifest.ts';
import type { PlannedTask } from './plan.ts';

export interface ReadyTask {
  task_id: string;
  /** Attempts given so far; the next order carries one more. */
  attempt: number;
  /** Milliseconds since the epoch less what its priority is worth. */
  rank: number;
  requirement: number;
  principal: string;
  source: string;
  expires_at_ms: number | null;
  tool: string;
  action: string;
  tool_digest: string;
  effects: Effects;
  timeout_s: number;
  scope: string | null;
  required_role: string;
  credential_id: string;
  /** Lower-case hex. */
  payload_sha256: string;
  /** Null where it is too large to be held; read again when its order is made. */
  payload: Buffer | null;
  affinity: string | null;
  traceparent: string | null;
}

/** Payloads of up to so many bytes are held with the task. */
export const heldPayloadMaxBytes = 4096;

/** The planned task as the scheduler takes it. */
export function readyTask(task: PlannedTask, requirement: number): ReadyTask {
  return {
    task_id: task.task_id,
    attempt: 0,
    rank: task.rank,
    requirement,
    principal: task.requested_by,
    source: task.source,
    expires_at_ms: task.expires_at?.getTime() ?? null,
    tool: task.action.tool,
    action: task.action.action,
    tool_digest: task.action.digest,
    effects: task.action.effects,
    timeout_s: task.timeout_s,
    scope: task.scope,
    required_role: task.required_role,
    credential_id: task.credential_id,
    payload_sha256: task.payload_sha256,
    payload: task.payload.length <= heldPayloadMaxBytes ? task.payload : null,
    affinity: task.affinity,
    traceparent: task.traceparent,
  };
}
