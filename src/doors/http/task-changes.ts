/** Wakes calls that wait for a task to change. */

import { AppError } from '../../domain/error.ts';

/** Calls that may wait at once in one process. */
const waitersMax = 2000;

interface Waiter {
  wake: () => void;
}

/** A wait that has begun: changes from now on end it. */
export interface TaskWatch {
  /** Resolves at the next change, after `timeoutMs`, or when the signal aborts. */
  next(timeoutMs: number, signal: AbortSignal): Promise<void>;
  stop(): void;
}

/** Owns the waiting calls by task. A wake-up is a hint: whoever is woken reads the task again. */
export class TaskChanges {
  readonly #waiters = new Map<string, Set<Waiter>>();
  #count = 0;

  /** Tells that these tasks have changed; unknown ids cost a look-up. */
  notify(taskIds: readonly string[]): void {
    if (this.#count === 0) return;
    for (const taskId of taskIds) for (const waiter of this.#waiters.get(taskId) ?? []) waiter.wake();
  }

  /** Wakes everybody: the process ends. */
  notifyAll(): void {
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.wake();
  }

  /** Begins to wait. Fails `unavailable` (`too_many_waiting`) where too many do. The caller stops the watch. */
  watch(taskId: string): TaskWatch {
    if (this.#count >= waitersMax) {
      throw new AppError('unavailable', 'Too many calls are waiting. Ask again without wait_s.', {
        reason: 'too_many_waiting',
        retryAfterS: 1,
      });
    }
    let isChanged = false;
    let resolve: (() => void) | undefined;
    const waiter: Waiter = {
      wake: () => {
        isChanged = true;
        resolve?.();
      },
    };
    this.#add(taskId, waiter);
    return {
      next: async (timeoutMs, signal) => {
        if (!isChanged && !signal.aborted) await untilWoken(timeoutMs, signal, (wake) => (resolve = wake));
        isChanged = false;
        resolve = undefined;
      },
      stop: () => {
        this.#remove(taskId, waiter);
      },
    };
  }

  #add(taskId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(taskId) ?? new Set();
    this.#waiters.set(taskId, waiters.add(waiter));
    this.#count++;
  }

  #remove(taskId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(taskId);
    if (waiters?.delete(waiter) !== true) return;
    this.#count--;
    if (waiters.size === 0) this.#waiters.delete(taskId);
  }
}

function untilWoken(timeoutMs: number, signal: AbortSignal, offer: (wake: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, timeoutMs);
    signal.addEventListener('abort', wake, { once: true });
    offer(wake);
  });
}
