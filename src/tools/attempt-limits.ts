/** The end of an attempt's time and the request to cancel it, as one signal that costs nothing until it is asked for. */

import type { Clock } from '../domain/clock.ts';

/** Longest delay that a timer takes. */
const delayMaxMs = 2 ** 31 - 1;

/**
 * Belongs to one attempt; whoever makes it calls `dispose`. `ended` tells which of the two came first, and stays
 * undefined where neither has.
 */
export class AttemptLimits {
  ended: 'cancelled' | 'timed_out' | undefined;
  private readonly outer: () => AbortSignal;
  private readonly deadlineMs: number;
  private readonly clock: Clock;
  private controller: AbortController | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(outer: () => AbortSignal, timeoutMs: number, clock: Clock) {
    this.outer = outer;
    this.clock = clock;
    this.deadlineMs = clock.monotonicMs() + timeoutMs;
  }

  /** Aborts at the time-out or the cancel. */
  signal(): AbortSignal {
    if (this.controller !== undefined) return this.controller.signal;
    const controller = new AbortController();
    this.controller = controller;
    const outer = this.outer();
    if (outer.aborted) this.ended ??= 'cancelled';
    if (this.ended === undefined) {
      const leftMs = Math.max(0, Math.min(this.deadlineMs - this.clock.monotonicMs(), delayMaxMs));
      this.timer = setTimeout(this.onTimeout, leftMs);
      outer.addEventListener('abort', this.onCancel, { once: true });
    } else controller.abort();
    return controller.signal;
  }

  dispose(): void {
    if (this.controller === undefined) return;
    clearTimeout(this.timer);
    this.outer().removeEventListener('abort', this.onCancel);
  }

  private readonly onTimeout = (): void => {
    this.end('timed_out');
  };

  private readonly onCancel = (): void => {
    this.end('cancelled');
  };

  private end(how: 'cancelled' | 'timed_out'): void {
    this.ended ??= how;
    this.dispose();
    this.controller?.abort();
  }
}

/** The promise's outcome, or a rejection as soon as the signal aborts; the promise is then left to itself. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(new Error('aborted'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
