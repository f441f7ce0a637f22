/** The part of one (requirement, principal, source) queue that is held in memory. */

import { nilUuid } from '../proof/ids.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import { goesBefore, TaskHeap } from './task-heap.ts';

/** Key of a queue row in the order of its window. */
export interface WindowKey {
  rank: number;
  task_id: string;
}

/** Before any row. */
export const beforeAll: WindowKey = { rank: Number.MIN_SAFE_INTEGER, task_id: nilUuid };

/** What a read gave: the rows that were not known, the key of the last row, and whether there were no more. */
export type FoundRows = [fresh: readonly ReadyTask[], last: WindowKey | undefined, reachesEnd: boolean];

/**
 * Invariant: every queued row of the window whose key is at most `high` is here or has been handed out; beyond `high` rows are
 * only in the database, unless the window is `complete`, when there are none. What other processes queue is an exception until the window
 * is read again.
 */
export class Window {
  readonly requirement: number;
  readonly principal: string;
  readonly source: string;
  readonly heap = new TaskHeap();
  complete = false;
  high: WindowKey = beforeAll;

  constructor(requirement: number, principal: string, source: string) {
    this.requirement = requirement;
    this.principal = principal;
    this.source = source;
  }

  /**
   * Takes a task that became ready in this process. False where it lies beyond what is held: the database will give it when
   * the window has come that far. `max` bounds what is held of rows that could wait there.
   */
  offer(task: ReadyTask, max: number): boolean {
    if (goesBefore(this.high, task)) {
      if (!this.complete) return false;
      if (this.heap.size >= max) {
        this.complete = false;
        return false;
      }
      this.high = { rank: task.rank, task_id: task.task_id };
    }
    this.heap.push(task);
    return true;
  }

  /** Takes what lies beyond `high`. */
  extend(...[fresh, last, reachesEnd]: FoundRows): void {
    for (const task of fresh) this.heap.push(task);
    if (last !== undefined) this.#reach(last);
    this.complete = reachesEnd;
  }

  /** Takes what lies at the beginning; where that is not all, what is deeper stays as it was. */
  refresh(...[fresh, last, reachesEnd]: FoundRows): void {
    for (const task of fresh) this.heap.push(task);
    const isDeeper = last !== undefined && this.#reach(last);
    if (reachesEnd || isDeeper) this.complete = reachesEnd;
  }

  /** True where the key lies beyond `high`, which it then is. */
  #reach({ rank, task_id }: WindowKey): boolean {
    if (!goesBefore(this.high, { rank, task_id })) return false;
    this.high = { rank, task_id };
    return true;
  }
}
