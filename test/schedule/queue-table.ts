/** The queued rows of a database, in memory, and reads of them that see what was there when they began. */

import { goesBefore } from '../../src/schedule/task-heap.ts';
import type { ReadWindow } from '../../src/schedule/task-scheduler.ts';
import type { ReadyTask } from '../../src/tasks/ready-task.ts';

/** Reads can be held back, so that other things happen while they are under way, and can be made to fail. */
export class QueueTable {
  readonly rows = new Map<string, ReadyTask>();
  readonly #steps = new Map<number, () => void>();
  #reads = 0;
  #failure: Error | undefined;
  #gate: Promise<void> = Promise.resolve();
  #onStarted: (() => void) | undefined;

  constructor(rows: readonly ReadyTask[] = []) {
    for (const row of rows) this.insert(row);
  }

  insert(task: ReadyTask): void {
    this.rows.set(task.task_id, task);
  }

  remove(taskId: string): void {
    this.rows.delete(taskId);
  }

  /** Each queue that has rows, once. */
  keys(): Pick<ReadyTask, 'requirement' | 'principal' | 'source'>[] {
    const keys = new Map<string, ReadyTask>();
    for (const row of this.rows.values()) keys.set(`${row.requirement} ${row.principal} ${row.source}`, row);
    return [...keys.values()];
  }

  /** Reads that have begun so far. */
  get reads(): number {
    return this.#reads;
  }

  /** From now on reads see the rows and then wait, until the answered function is called. */
  holdReads(): () => void {
    let release: () => void = () => undefined;
    this.#gate = new Promise((resolve) => (release = resolve));
    return release;
  }

  /** Resolves when the next read has seen its rows. */
  started(): Promise<void> {
    return new Promise((resolve) => (this.#onStarted = resolve));
  }

  /** The next read fails. */
  failNext(error: Error): void {
    this.#failure = error;
  }

  /** Calls `step` when so many reads have been answered. */
  afterReads(count: number, step: () => void): void {
    this.#steps.set(count, step);
  }

  readonly read: ReadWindow = async ({ requirement, principal, source }, after, limit) => {
    const failure = this.#failure;
    this.#failure = undefined;
    const found = [...this.rows.values()]
      .filter((row) => row.requirement === requirement && row.principal === principal && row.source === source)
      .filter((row) => goesBefore(after, row))
      .sort((a, b) => (goesBefore(a, b) ? -1 : 1))
      .slice(0, limit);
    this.#onStarted?.();
    await this.#gate;
    this.#steps.get(++this.#reads)?.();
    if (failure !== undefined) throw failure;
    return found;
  };
}
