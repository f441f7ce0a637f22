/** Ready tasks by rank, the older id first: a queue of those that came in order, and a binary heap of the others. */

import type { ReadyTask } from '../tasks/ready-task.ts';

/** Whether `a` goes before `b`; no two tasks are level, since ids differ. */
export function goesBefore(a: Pick<ReadyTask, 'rank' | 'task_id'>, b: Pick<ReadyTask, 'rank' | 'task_id'>): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.task_id < b.task_id);
}

/** The part of a queue that was taken is let go of when it is at least so long, and half of all. */
const trimMin = 32;

export class TaskHeap {
  /** Ascending from `#at` on. Nearly all tasks come in their order: those cost no walk through a tree. */
  #inOrder: ReadyTask[] = [];
  #at = 0;
  readonly #items: ReadyTask[] = [];

  get size(): number {
    return this.#inOrder.length - this.#at + this.#items.length;
  }

  peek(): ReadyTask | undefined {
    const first = this.#inOrder[this.#at];
    const top = this.#items[0];
    return first === undefined || (top !== undefined && goesBefore(top, first)) ? top : first;
  }

  push(task: ReadyTask): void {
    const last = this.#inOrder.at(-1);
    if (last === undefined || goesBefore(last, task)) this.#inOrder.push(task);
    else this.#pushToHeap(task);
  }

  pop(): ReadyTask | undefined {
    const first = this.#inOrder[this.#at];
    const top = this.#items[0];
    if (first === undefined || (top !== undefined && goesBefore(top, first))) return this.#popFromHeap();
    this.#at++;
    if (this.#at === this.#inOrder.length || (this.#at >= trimMin && this.#at * 2 >= this.#inOrder.length)) {
      this.#inOrder = this.#inOrder.slice(this.#at);
      this.#at = 0;
    }
    return first;
  }

  #pushToHeap(task: ReadyTask): void {
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

  #popFromHeap(): ReadyTask | undefined {
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
