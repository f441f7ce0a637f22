/** Ready tasks made from a few members. */

import type { ReadyTask } from '../../src/tasks/ready-task.ts';

/** A task id that sorts as its number does. */
export function taskId(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

/** A queued task; whatever is not given is the same for all. */
export function readyTask(number: number, members: Partial<ReadyTask> = {}): ReadyTask {
  return {
    task_id: taskId(number),
    attempt: 0,
    rank: number,
    requirement: 1,
    principal: 'alice',
    source: 'default',
    expires_at_ms: null,
    tool: 'noop',
    action: 'run',
    tool_digest: `sha256:${'0'.repeat(64)}`,
    effects: 'none',
    timeout_s: 60,
    scope: null,
    required_role: 'operator',
    credential_id: taskId(0),
    payload_sha256: '0'.repeat(64),
    payload: Buffer.from('{}'),
    affinity: null,
    traceparent: null,
    ...members,
  };
}
