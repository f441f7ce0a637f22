/** Batches: the first item goes at once, what arrives while a call is in flight forms the next batch. No timer waits for more, but where a pace is asked for. */

import { AppError } from '../domain/error.ts';

export interface BatcherOptions<T, R> {
  /** Largest batch that `run` gets. */
  maxItems: number;
  /** Items that may wait besides those in flight; more are refused `unavailable`, reason `overloaded`. */
  maxPending: number;
  /** Answers one result for each item, in order. What it throws rejects the items of that call only. */
  run: (items: T[]) => Promise<R[]>;
  /** Calls of `run` that may be in flight at once; 1 where order matters. */
  concurrency?: number;
  /**
   * From the start of one call to that of the next, milliseconds at least, unless a whole batch waits: for what may wait so long, and costs about
   * as much for one as for many. Default 0.
   */
  paceMs?: number;
}

export interface Batcher<T, R> {
  add: (item: T) => Promise<R>;
  /** One result for each item, in order; the items may go in several batches. All are taken in, or none. */
  addMany: (items: readonly T[]) => Promise<R[]>;
  /** Resolves when nothing waits and nothing is in flight. */
  idle: () => Promise<void>;
}

interface Pending<T, R> {
  item: T;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/**
 * A batch starts in a microtask, so items added in one turn of a synchronous caller go together. Under load the batches
 * grow by themselves: a slow call collects more for the next.
 */
export function createBatcher<T, R>(options: BatcherOptions<T, R>): Batcher<T, R> {
  const { maxItems, maxPending, run, concurrency = 1, paceMs = 0 } = options;
  let pending: Pending<T, R>[] = [];
  let inFlight = 0;
  let startDue = false;
  let isPausing = false;
  let idleWaiters: (() => void)[] = [];

  function admit(count: number): void {
    if (pending.length + count <= maxPending) return;
    throw new AppError('unavailable', 'Too much is waiting to be done. Try again in a moment.', {
      reason: 'overloaded',
      retryAfterS: 1,
    });
  }

  function enqueue(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      pending.push({ item, resolve, reject });
    });
  }

  function startLater(): void {
    if (startDue) return;
    startDue = true;
    queueMicrotask(() => {
      startDue = false;
      while (canStart()) void start();
    });
  }

  function canStart(): boolean {
    if (pending.length === 0 || inFlight >= concurrency) return false;
    return !isPausing || pending.length >= maxItems;
  }

  function pause(): void {
    if (paceMs === 0 || isPausing) return;
    isPausing = true;
    setTimeout(() => {
      isPausing = false;
      startLater();
    }, paceMs);
  }

  async function start(): Promise<void> {
    const batch = pending.length <= maxItems ? pending : pending.slice(0, maxItems);
    pending = pending.length <= maxItems ? [] : pending.slice(maxItems);
    inFlight++;
    pause();
    await settle(batch, run);
    inFlight--;
    startLater();
    if (inFlight === 0 && pending.length === 0) {
      const waiters = idleWaiters;
      idleWaiters = [];
      for (const wake of waiters) wake();
    }
  }

  return {
    add: async (item) => {
      admit(1);
      const result = enqueue(item);
      startLater();
      return result;
    },
    addMany: async (items) => {
      admit(items.length);
      const results = Promise.all(items.map(enqueue));
      startLater();
      return results;
    },
    idle: () =>
      new Promise((resolve) => {
        if (inFlight === 0 && pending.length === 0) resolve();
        else idleWaiters.push(resolve);
      }),
  };
}

/** Runs one batch and answers its items; never rejects. */
async function settle<T, R>(batch: Pending<T, R>[], run: (items: T[]) => Promise<R[]>): Promise<void> {
  try {
    const results = await run(batch.map(({ item }) => item));
    if (results.length !== batch.length) {
      throw new Error(`a batch of ${batch.length.toString()} was answered by ${results.length.toString()} results`);
    }
    // Lengths are equal, so every item has its result, which may itself be undefined.
    batch.forEach(({ resolve }, i) => {
      resolve(results[i] as R);
    });
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
}
