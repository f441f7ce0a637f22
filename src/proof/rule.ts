/** The numbered rules of the formats, named where they are checked. */

import { ProofError } from './proof-error.ts';

/** Fails with the code `rule_<number>` unless the condition holds. */
export function holdRule(condition: boolean, rule: number, message: string): asserts condition {
  if (!condition) throw new ProofError(`rule_${rule.toString()}`, message);
}

/** The number of the rule that an error names; undefined where it names none. */
export function ruleOf(error: ProofError): number | undefined {
  const digits = /^rule_(\d+)$/.exec(error.code)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
