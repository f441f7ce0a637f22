/** Decides what an ended attempt means for its task; pure. */

import type { EndState } from '../domain/task-state.ts';
import type { Effects } from '../proof/manifest.ts';
import type { ResultStatus } from '../proof/receipt.ts';

/** What is known of a live task when one of its attempts ends. */
export interface LiveTask {
  task_id: string;
  state: string;
  attempt: number;
  /** Starts so far, the one that ended included. */
  tries: number;
  node_id: string | null;
  manifest: string | null;
  effects: Effects;
  max_attempts: number;
  retry_initial_s: number;
  retry_max_s: number;
  is_cancel_requested: boolean;
}

/**
 * `end`: the task is over. `retry`: it waits `delayS` and goes again. `handed_back`: as `retry`, and the start does not count.
 */
export type Outcome =
  | { kind: 'end'; state: EndState; reason: string | null }
  | { kind: 'retry' | 'handed_back'; delayS: number; reason: string };

/** Seconds after which work goes again that a node could not start. */
const handedBackS = 1;

/**
 * The outcome of a node's answer. `isRetryable`: the catalog says so of this exit. `random` is in [0, 1).
 */
export function decideOutcome(
  answer: { status: ResultStatus; errorCode: string | null; isRetryable: boolean },
  task: LiveTask,
  random: number,
): Outcome {
  const { status, errorCode } = answer;
  const reason = errorCode ?? status;
  if (status === 'succeeded') return { kind: 'end', state: 'succeeded', reason: null };
  if (status === 'cancelled') return { kind: 'end', state: 'cancelled', reason };
  if (task.is_cancel_requested) return { kind: 'end', state: 'cancelled', reason: 'cancel_requested' };
  if (status === 'not_started' || (status === 'refused' && errorCode === 'expired')) {
    return { kind: 'handed_back', delayS: status === 'not_started' ? 0 : handedBackS, reason };
  }
  // The node took a later attempt, or this one before: what became of it is not known.
  const mayHaveRun = status === 'refused' && errorCode === 'stale_attempt' && task.effects === 'destructive';
  // The work may have had a part of its effect: only what may be repeated is repeated, and what says by itself that it may.
  const mayRepeat = status === 'refused' || (status === 'failed' ? answer.isRetryable : task.effects !== 'destructive');
  if (!mayRepeat || mayHaveRun) return { kind: 'end', state: 'failed', reason };
  return retryOrFail(task, reason, random);
}

/** The outcome of an attempt that no node will answer, of work that may be repeated. */
export function decideLost(task: LiveTask, reason: string, random: number): Outcome {
  if (task.is_cancel_requested) return { kind: 'end', state: 'cancelled', reason: 'cancel_requested' };
  return retryOrFail(task, reason, random);
}

function retryOrFail(task: LiveTask, reason: string, random: number): Outcome {
  if (task.tries >= task.max_attempts) return { kind: 'end', state: 'failed', reason };
  return { kind: 'retry', delayS: backoffS(task, random), reason };
}

/** Full jitter: uniform between nothing and the doubled bound of this try. */
export function backoffS(task: Pick<LiveTask, 'tries' | 'retry_initial_s' | 'retry_max_s'>, random: number): number {
  const bound = Math.min(task.retry_max_s, task.retry_initial_s * 2 ** Math.min(30, Math.max(0, task.tries - 1)));
  return bound * random;
}
