/** What a verification comes to: the verdict, the first thing that is wrong, and what was counted. */

import { ProofError } from './proof-error.ts';
import { ruleOf } from './rule.ts';

/** 0 verified, 1 tampered, 2 incomplete, pruned or not witnessed (formats.md rule 31). */
export type ExitCode = 0 | 1 | 2;

export type Verdict = 'verified' | 'tampered' | 'incomplete' | 'pruned' | 'not_witnessed';

/** The first thing that contradicts. */
export interface FirstBad {
  /** Member of the bundle. */
  member: string;
  /** Line of the member, from 1. */
  line?: number;
  /** The record; the first of an interval where only a root differs. */
  seq?: number;
  /** Last record of that interval. */
  last_seq?: number;
  /** Number of the rule of the formats. */
  rule?: number;
  expected: string;
  found: string;
}

/** Something that was named and is not there, or cannot be shown from what is there. */
export interface Absence {
  code:
    | 'missing_evidence'
    | 'pruned_evidence'
    | 'receipt_gap'
    | 'untold_results'
    | 'no_trust'
    | 'not_witnessed'
    | 'earlier_state';
  count: number;
  message: string;
}

export interface VerifyCounts {
  records: number;
  checkpoints: number;
  keys: number;
  manifests: number;
  receipts: number;
  tasks: number;
  orders: number;
  accepted: number;
  lost: number;
  voided: number;
  late: number;
  /** Orders without a stop at the end of the log. */
  open: number;
  /** Late results of orders that their node never had, or that had no stop: what the node claimed. */
  stray: number;
  /** Answers to orders that the bundle does not show. */
  unknown: number;
  /** Submissions whose tasks were ordered with another hash: with a newer tool digest (rule 10). */
  changed_submissions: number;
  /** Ordered tasks that no submission in the bundle names. */
  unsubmitted: number;
}

export interface VerifyReport {
  exit_code: ExitCode;
  verdict: Verdict;
  log?: string;
  from?: number;
  size?: number;
  /** Standard base64. */
  root?: string;
  first_bad?: FirstBad;
  absences: Absence[];
  counts: VerifyCounts;
  /** Farthest step back of `ts`, milliseconds (rule 7). */
  farthest_step_back_ms: number;
  /** What a reader should know beside the verdict. */
  notes: string[];
}

/** Something that contradicts a signature, a hash or a rule. */
export class Contradiction extends Error {
  readonly finding: FirstBad;

  constructor(finding: FirstBad) {
    super(`${finding.member}: expected ${finding.expected}, found ${finding.found}`);
    this.name = 'Contradiction';
    this.finding = finding;
  }
}

/** Runs a check at a place of the bundle: what fails to prove itself becomes a contradiction there. */
export function at<Result>(place: Pick<FirstBad, 'member' | 'line' | 'seq'>, check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    throw locate(place, error);
  }
}

/** A contradiction at a place, from what a check threw; other errors stay as they are. */
export function locate(place: Pick<FirstBad, 'member' | 'line' | 'seq'>, error: unknown): unknown {
  if (!(error instanceof ProofError)) return error;
  // A signature is a note's or a JWS's: the member tells.
  const ruleOfSignature = place.member.startsWith('checkpoint') ? 24 : 20;
  const rule = ruleOf(error) ?? (error.code === 'bad_signature' ? ruleOfSignature : ruleOfCode[error.code]);
  const expected =
    rule === undefined ? 'what the formats ask for' : `what rule ${rule.toString()} of the formats asks for`;
  return new Contradiction({ ...place, ...(rule === undefined ? {} : { rule }), expected, found: error.message });
}

/** Rules behind the codes of checks that are shared with others than verification. */
const ruleOfCode: Readonly<Record<string, number>> = {
  not_json: 4,
  not_canonical: 4,
  forbidden_key: 4,
  too_deep: 1,
  no_line_feed: 26,
  too_large: 20,
  bad_form: 20,
  bad_header: 20,
  bad_algorithm: 20,
  bad_type: 20,
  bad_base64url: 20,
  bad_base64: 2,
  bad_hash: 2,
  bad_issuer: 22,
  bad_payload: 3,
  unknown_key: 12,
  bad_key: 11,
  bad_note: 24,
  bad_checkpoint: 24,
  bad_bundle: 26,
  bad_verifier_key: 26,
};
