/** The part of one (requirement, principal, source) queue that is held in memory. */

import type { ReadyTask } from '../tasks/ready-task.ts';
import { goesBefore, TaskHeap } from './task-heap.ts';

/** Key of a queue row in the order of its window. */
export interface WindowKey {
  rank: number;
  task_id: string;
}

const firstId = '00000000-0000-0000-0000-000000000000';
/** Before any row. */
export const beforeAll: WindowKey = { rank: Number.MIN_SAFE_INTEGER, task_id: firstId };

/**
 * Invariant: every queued row of the window whose key is at most `high` is here or has been handed out; beyond `high` rows are
 * only in the database, unless the window is `complete`, when there are none.
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

  /**
   * Takes what a read gave: `fresh` of the rows up to `last`, which began at most at `high`; `reachesEnd` where there were no
   * more rows than these.
   */
  extend(fresh: readonly ReadyTask[], last: WindowKey | undefined, reachesEnd: boolean): void {
    for (const task of fresh) this.heap.push(task);
    if (last !== undefined && (this.complete || goesBefore(this.high, last))) {
      this.high = { rank: last.rank, task_id: last.task_id };
    }
    this.complete = reachesEnd;
  }
}
