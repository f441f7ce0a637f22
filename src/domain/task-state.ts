/** The states of a task and the moves between them: the one table that database and documents are compared with. */

/** States of a task that still is to be done or settled: it has a row in `queue`. */
export const liveStates = ['waiting', 'queued', 'dispatched', 'running', 'in_doubt'] as const;
/** States that end a task. `failed`, `expired` and `cancelled` can be left again by a redrive. */
export const endStates = ['succeeded', 'failed', 'cancelled', 'expired'] as const;

export type LiveState = (typeof liveStates)[number];
export type EndState = (typeof endStates)[number];
export type TaskState = LiveState | EndState;

export const taskStates: readonly TaskState[] = [...liveStates, ...endStates];

/** From each state, where a task may go; `new` is the submission. */
export const taskMoves: Readonly<Record<TaskState | 'new', readonly TaskState[]>> = {
  new: ['waiting', 'queued'],
  waiting: ['queued', 'cancelled', 'expired'],
  queued: ['dispatched', 'cancelled', 'expired'],
  dispatched: ['running', 'succeeded', 'failed', 'waiting', 'queued', 'cancelled', 'in_doubt'],
  running: ['succeeded', 'failed', 'waiting', 'queued', 'cancelled', 'in_doubt'],
  in_doubt: ['succeeded', 'failed', 'queued'],
  succeeded: [],
  failed: ['queued'],
  cancelled: ['queued'],
  expired: ['queued'],
};

export function isEndState(state: TaskState): state is EndState {
  return (endStates as readonly string[]).includes(state);
}

/** Whether a task may go from one state to the other. */
export function isLegalMove(from: TaskState | 'new', to: TaskState): boolean {
  return taskMoves[from].includes(to);
}
