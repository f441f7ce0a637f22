/** Parameters of the one SQL function that changes a live task's state. */

import type { TaskState } from '../domain/task-state.ts';
import { raised } from '../platform/postgres/raised.ts';

/** One task's move. Members that are absent keep what the row has, but for `node_id` and `manifest`: see `move_tasks`. */
export interface Move {
  task_id: string;
  /** The fence: the attempt that the row must have. */
  attempt: number;
  to: TaskState;
  next_attempt?: number;
  /** Added to the count of starts. */
  tries?: number;
  rank?: number;
  wake_at?: Date;
  reason?: string;
  /** The node that must hold the attempt. */
  by_node?: string;
  /** Only from `in_doubt`, which nothing else leaves. */
  from_doubt?: boolean;
}

/** Call of `move_tasks` with twelve parameters from `$first` on. */
export function moveCall(first: number): string {
  return `move_tasks(${Array.from({ length: 12 }, (_, i) => `$${(first + i).toString()}`).join(', ')})`;
}

/** The twelve array parameters of `move_tasks`. */
export function moveColumns(moves: readonly Move[]): unknown[][] {
  return [
    moves.map((m) => m.task_id),
    moves.map((m) => m.attempt),
    moves.map((m) => m.to),
    moves.map((m) => m.next_attempt ?? m.attempt),
    moves.map((m) => m.tries ?? 0),
    moves.map((m) => m.rank ?? null),
    moves.map((m) => m.wake_at ?? null),
    moves.map(() => null),
    moves.map(() => null),
    moves.map((m) => m.reason ?? null),
    moves.map((m) => m.by_node ?? null),
    moves.map((m) => m.from_doubt ?? false),
  ];
}

/**
 * Commits what can still be moved: `commit` gets the tasks, and those that moved meanwhile are taken out and the rest tried
 * again. Answers the tasks that were committed.
 */
export async function commitMovable<T extends { task_id: string }>(
  tasks: readonly T[],
  commit: (tasks: readonly T[]) => Promise<void>,
): Promise<readonly T[]> {
  let open = tasks;
  while (open.length > 0) {
    try {
      await commit(open);
      return open;
    } catch (error) {
      const failure = raised(error);
      if (failure?.code !== 'WR002') throw error;
      const moved = new Set(failure.detail.split(' '));
      const rest = open.filter(({ task_id }) => !moved.has(task_id));
      if (rest.length === open.length) throw error;
      open = rest;
    }
  }
  return open;
}
