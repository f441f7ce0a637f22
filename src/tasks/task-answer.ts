/** A task as callers see it: from a plan, or from its rows. */

import type { Task } from '../domain/task.ts';
import { isEmpty } from './is-empty.ts';
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

/** JSON of `plannedTaskAnswer` for many tasks: what one has in common with the task before it is written once. */
export class PlannedTaskWriter {
  #last: { task: PlannedTask; common: string } | undefined;

  json(task: PlannedTask): string {
    if (this.#last === undefined || !areAlike(this.#last.task, task)) {
      const { task_id: _, payload: __, task_sha256: ___, ...common } = plannedTaskAnswer(task);
      this.#last = { task, common: JSON.stringify(common).slice(1) };
    }
    const payload = JSON.stringify(task.payload_value);
    return `{"task_id":"${task.task_id}","payload":${payload},"task_sha256":"${task.task_sha256}",${this.#last.common}`;
  }
}

/** Whether two tasks differ in nothing but id, payload and hash; not where that would take long to tell. */
function areAlike(a: PlannedTask, b: PlannedTask): boolean {
  return (
    a.action === b.action &&
    a.source === b.source &&
    a.created_at.getTime() === b.created_at.getTime() &&
    a.run_at === null &&
    b.run_at === null &&
    a.expires_at === null &&
    b.expires_at === null &&
    a.required_role === b.required_role &&
    a.priority === b.priority &&
    a.timeout_s === b.timeout_s &&
    a.max_attempts === b.max_attempts &&
    a.retry_initial_s === b.retry_initial_s &&
    a.retry_max_s === b.retry_max_s &&
    a.affinity === b.affinity &&
    a.traceparent === b.traceparent &&
    a.requested_by === b.requested_by &&
    a.tags.length + b.tags.length === 0 &&
    isEmpty(a.constraints) &&
    isEmpty(b.constraints) &&
    isEmpty(a.labels) &&
    isEmpty(b.labels)
  );
}
