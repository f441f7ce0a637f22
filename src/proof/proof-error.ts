/** The error of everything that fails to prove itself. */

/**
 * Something is not what it claims to be. `code` is stable and machine-readable (`bad_signature`, `not_canonical`, …);
 * `message` may quote at most a short, printable part of what was found.
 */
export class ProofError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ProofError';
    this.code = code;
  }
}

/** Fails with `code` unless the condition holds. */
export function prove(condition: boolean, code: string, message: string): asserts condition {
  if (!condition) throw new ProofError(code, message);
}
