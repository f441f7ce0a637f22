/** Tells calls that wait for a task when it has ended in this process. */

/** Owns the waiters. A waiter is told once, or lets go by itself. */
export class TaskHub {
  readonly #waiters = new Map<string, Set<() => void>>();

  /** Calls `listener` when the task ends; the answer takes it away again. */
  onEnded(taskId: string, listener: () => void): () => void {
    const listeners = this.#waiters.get(taskId) ?? new Set();
    this.#waiters.set(taskId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#waiters.delete(taskId);
    };
  }

  ended(taskIds: readonly string[]): void {
    if (this.#waiters.size === 0) return;
    for (const taskId of taskIds) {
      const listeners = this.#waiters.get(taskId);
      this.#waiters.delete(taskId);
      for (const listener of listeners ?? []) listener();
    }
  }
}
