/** A binary heap of ready tasks: the smallest rank first, then the older id. */

import type { ReadyTask } from '../tasks/ready-task.ts';

/** Whether `a` goes before `b`; no two tasks are level, since ids differ. */
export function goesBefore(a: Pick<ReadyTask, 'rank' | 'task_id'>, b: Pick<ReadyTask, 'rank' | 'task_id'>): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.task_id < b.task_id);
}

export class TaskHeap {
  readonly #items: ReadyTask[] = [];

  get size(): number {
    return this.#items.length;
  }

  peek(): ReadyTask | undefined {
    return this.#items[0];
  }

  push(task: ReadyTask): void {
    const items = this.#items;
    let at = items.length;
    items.push(task);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt];
      if (parent === undefined || goesBefore(parent, task)) break;
      items[at] = parent;
      at = parentAt;
    }
    items[at] = task;
  }

  pop(): ReadyTask | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = items[childAt];
      if (child === undefined) break;
      const right = items[childAt + 1];
      if (right !== undefined && goesBefore(right, child)) {
        child = right;
        childAt++;
      }
      if (goesBefore(last, child)) break;
      items[at] = child;
      at = childAt;
    }
    items[at] = last;
    return first;
  }
}
