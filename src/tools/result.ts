/** What became of an attempt, as it goes into a receipt. */

import { sha256Hex } from '../proof/hash.ts';

export interface ActionResult {
  status: 'succeeded' | 'failed' | 'cancelled' | 'timed_out';
  /** Whether a further try may go better; the task's policy decides whether there is one. */
  retryable: boolean;
  /** The first `outputMaxBytes` of the output: JSON of a built-in, standard output of a program. Not to be changed. */
  output: Buffer;
  /** Lower-case hex, over the whole output. */
  output_sha256: string;
  /** Of the whole output. */
  output_bytes: number;
  truncated: boolean;
  error: ActionError | null;
  /** Small JSON; its numbers are integers. */
  metadata: Record<string, unknown>;
}

export interface ActionError {
  /** Stable, snake_case. */
  code: string;
  message: string;
}

export const outputMaxBytes = 256 * 1024;
const messageMaxLength = 1000;

/** A failure of a tool that is understood: it becomes the result's error. */
export class ActionFailure extends Error {
  readonly code: string;
  readonly retryable: boolean;
  /** What was found before it failed. */
  readonly output: unknown;

  constructor(code: string, message: string, options: { retryable?: boolean; output?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ActionFailure';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.output = options.output;
  }
}

export interface Output {
  output: Buffer;
  output_sha256: string;
  output_bytes: number;
  truncated: boolean;
}

/** No output at all. */
export const emptyOutput: Output = Object.freeze({
  output: Buffer.alloc(0),
  output_sha256: sha256Hex(''),
  output_bytes: 0,
  truncated: false,
});

const emptyObject: Output = Object.freeze({
  output: Buffer.from('{}'),
  output_sha256: sha256Hex('{}'),
  output_bytes: 2,
  truncated: false,
});

/** The JSON text of a built-in's answer, cut where it is too long; undefined gives no output. */
export function jsonOutput(value: unknown): Output {
  if (value === undefined) return emptyOutput;
  const text = JSON.stringify(value);
  if (text === '{}') return emptyObject;
  const whole = Buffer.from(text);
  return {
    output: whole.subarray(0, outputMaxBytes),
    output_sha256: sha256Hex(whole),
    output_bytes: whole.byteLength,
    truncated: whole.byteLength > outputMaxBytes,
  };
}

/** An error with its message cut to what a receipt takes, and well-formed. */
export function actionError(code: string, message: string): ActionError {
  return { code, message: message.slice(0, messageMaxLength).toWellFormed() };
}
