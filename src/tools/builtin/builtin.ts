/** The shape of a built-in tool. */

import type { Clock } from '../../domain/clock.ts';
import type { CheckedAddress } from '../resolve.ts';

/** What a built-in may use of its attempt. */
export interface BuiltinContext {
  readonly clock: Clock;
  /** Aborts at the attempt's time-out or cancel. */
  signal(): AbortSignal;
  /** The addresses of a host that may be connected to; fails `forbidden` where one is outside the scope. */
  resolve(host: string): Promise<CheckedAddress[]>;
}

/** What a built-in found. Its failures are thrown as `ActionFailure`. */
export interface BuiltinOutcome {
  /** JSON. */
  output: unknown;
  /** Small JSON; numbers are integers. */
  metadata?: Record<string, unknown>;
}

/** Runs with parameters that satisfy the catalog's schema, which an administrator may have written otherwise than ours. */
export type Builtin = (
  parameters: Readonly<Record<string, unknown>>,
  context: BuiltinContext,
) => BuiltinOutcome | Promise<BuiltinOutcome>;
