/** Keeps calls from a server that fails: after failures in a row they fail at once, and one at a time looks again. */

import type { Clock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/error.ts';

export interface CircuitBreakerOptions {
  /** Failures in a row that open it. */
  failuresMax: number;
  /** How long it stays open at first; doubled each time that looking again fails. */
  openInitialMs: number;
  openMaxMs: number;
  clock: Clock;
  random: () => number;
  /** Told of each opening and closing. */
  onChange: (change: { isOpen: boolean; reason?: string; open_ms?: number }) => void;
}

/** What a call was let through with; its outcome is told exactly once, by `succeeded` or `failed`. */
export interface Permit {
  isProbe: boolean;
}

interface OpenState {
  error: AppError;
  untilMs: number;
  /** A probe is under way. */
  isProbed: boolean;
}

/** Closed: calls pass. Open: they fail at once. Half-open, when its time is over: one call passes and decides. */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #failures = 0;
  #openings = 0;
  #open: OpenState | undefined;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  /** Lets a call through, or fails with the failure that opened the circuit. */
  enter(): Permit {
    const open = this.#open;
    if (open === undefined) return { isProbe: false };
    const leftMs = open.untilMs - this.#options.clock.monotonicMs();
    if (leftMs <= 0 && !open.isProbed) {
      open.isProbed = true;
      return { isProbe: true };
    }
    const { code, message, details, cause } = open.error;
    throw new AppError(code, message, { ...details, retryAfterS: Math.max(1, Math.ceil(leftMs / 1000)) }, cause);
  }

  succeeded(permit: Permit): void {
    // What was sent before the circuit opened says nothing about now.
    if (this.#open !== undefined && !permit.isProbe) return;
    this.#failures = 0;
    if (this.#open === undefined) return;
    this.#open = undefined;
    this.#openings = 0;
    this.#options.onChange({ isOpen: false });
  }

  /** `isCertain`: the next call would fail as well, so one failure is enough. */
  failed(permit: Permit, error: AppError, isCertain = false): void {
    if (this.#open !== undefined && !permit.isProbe) return;
    this.#failures += 1;
    if (permit.isProbe || isCertain || this.#failures >= this.#options.failuresMax) this.#openWith(error);
  }

  #openWith(error: AppError): void {
    const { openInitialMs, openMaxMs, clock, random, onChange } = this.#options;
    const boundMs = Math.min(openMaxMs, openInitialMs * 2 ** Math.min(20, this.#openings));
    // Jitter over the upper half: orchestrators do not look again all at once, and none looks at once.
    const openMs = Math.ceil(boundMs / 2 + (boundMs / 2) * random());
    this.#openings += 1;
    this.#failures = 0;
    this.#open = { error, untilMs: clock.monotonicMs() + openMs, isProbed: false };
    onChange({ isOpen: true, reason: error.reason, open_ms: openMs });
  }
}
