/** A task as callers see it: from a plan, or from its rows. */

import type { Task } from '../domain/task.ts';
import type { PlannedTask } from './plan.ts';

/** The answer to a submission: the task as it is accepted. */
export function plannedTaskAnswer(task: PlannedTask): Task {
  const createdAt = task.created_at.toISOString();
  return {
    task_id: task.task_id,
    state: task.wake_at === null ? 'queued' : 'waiting',
    reason: null,
    source: task.source,
    tool: task.action.tool,
    action: task.action.action,
    payload: task.payload_value,
    required_role: task.required_role,
    priority: task.priority,
    run_at: task.run_at?.toISOString() ?? null,
    expires_at: task.expires_at?.toISOString() ?? null,
    timeout_s: task.timeout_s,
    retry: { max_attempts: task.max_attempts, initial_s: task.retry_initial_s, max_s: task.retry_max_s },
    affinity: task.affinity,
    constraints: task.constraints,
    tags: task.tags,
    labels: task.labels,
    traceparent: task.traceparent,
    requested_by: task.requested_by,
    effects: task.action.effects,
    task_sha256: task.task_sha256,
    created_at: createdAt,
    updated_at: createdAt,
    attempt: 0,
    tries: 0,
    node_id: null,
    manifest_sha256: null,
    started_at: null,
    ended_at: null,
  };
}
