/** Parameters of the one SQL function that changes a live task's state. */

import type { TaskState } from '../domain/task-state.ts';
import { intArray, Kinds, uuidArray } from '../platform/postgres/arrays.ts';
import { placeholders } from '../platform/postgres/placeholders.ts';
import { raised } from '../platform/postgres/raised.ts';

/** One task's move. Members that are absent keep what the row has, but for `node_id` and `manifest`: see `move_tasks`. */
export interface Move {
  task_id: string;
  /** The fence: the attempt that the row must have. */
  attempt: number;
  to: TaskState;
  next_attempt?: number | undefined;
  /** Added to the count of starts. */
  tries?: number | undefined;
  rank?: number | undefined;
  wake_at?: Date | undefined;
  reason?: string | undefined;
  /** The node that must hold the attempt. */
  by_node?: string | undefined;
  /** Only from `in_doubt`, which nothing else leaves. */
  from_doubt?: boolean | undefined;
}

/** How many parameters `move_tasks` has. */
export const moveParameters = 13;

/** Call of `move_tasks` with its parameters from `$first` on. */
export function moveCall(first: number): string {
  return `move_tasks(${placeholders(first, moveParameters)})`;
}

type MoveKind = readonly [
  to: TaskState,
  step: number,
  tries: number,
  rank: number | null,
  wakeAt: string | null,
  reason: string | null,
  by: string | null,
  fromDoubt: boolean,
];

/** The parameters of `move_tasks`. */
export function moveColumns(moves: readonly Move[]): unknown[] {
  const kinds = new Kinds<MoveKind>();
  for (const move of moves) {
    kinds.add([
      move.to,
      (move.next_attempt ?? move.attempt) - move.attempt,
      move.tries ?? 0,
      move.rank ?? null,
      move.wake_at?.toISOString() ?? null,
      move.reason ?? null,
      move.by_node ?? null,
      move.from_doubt ?? false,
    ]);
  }
  return [
    uuidArray(moves.map((m) => m.task_id)),
    intArray(moves.map((m) => m.attempt)),
    intArray(kinds.positions),
    ...kinds.columns(5),
    // Node and manifest: they come with a dispatch alone.
    [],
    [],
    ...kinds.columns(8, 5),
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
