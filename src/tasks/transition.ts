/** Parameters of the one SQL function that changes a live task's state. */

import type { TaskState } from '../domain/task-state.ts';

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
