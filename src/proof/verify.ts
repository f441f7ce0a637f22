/** The offline verifier: everything that a bundle and a policy can show, and nothing that must be believed. */

import { decodeHashes, memberLineMaxBytes, parseKeyArchive, parseTrustLine, trustMember } from './bundle.ts';
import { isKeyOf, readBundleHead, type BundleHead } from './bundle-head.ts';
import { readWhole, type BundleSource } from './bundle-source.ts';
import { RecordChain } from './chain.ts';
import { Checkpoints } from './checkpoints.ts';
import { Content } from './content.ts';
import { Evidence } from './evidence.ts';
import { decodeText, LineReader } from './lines.ts';
import type { CheckedCheckpoint, Policy } from './policy.ts';
import { prove } from './proof-error.ts';
import { checkRecord, leafHash, recordMaxBytes } from './record.ts';
import { parseCanonical } from './canonical-json.ts';
import { at, Contradiction, locate, type Absence, type VerifyCounts, type VerifyReport } from './report.ts';
import { holdRule } from './rule.ts';
import type { RememberedState } from './state.ts';
import { verifyInclusion } from './tree-proof.ts';
import { TrustedKeys } from './trust.ts';

export interface VerifyOptions {
  policy: Policy;
  /** What was verified before, of the same log. */
  state?: RememberedState;
  /** Whether pruned evidence alone leaves the verdict good. */
  allowPruned?: boolean;
  /** Called now and then with the number of records read and to read. */
  onProgress?: (done: number, total: number) => void;
}

const progressRecords = 10_000;
const keysMaxBytes = 64 * 1024 * 1024;

/**
 * Verifies a bundle. What contradicts ends it and is in the report; errors of reading, and a state of another log
 * (`bad_state`), are thrown.
 */
export async function verifyBundle(source: BundleSource, options: VerifyOptions): Promise<VerifyReport> {
  const run: Run = { source, options, counts: noCounts(), absences: [], notes: [], stepBackMs: 0, readers: [] };
  try {
    const checkpoint = await verifyAll(run);
    return conclude(run, checkpoint);
  } catch (error) {
    if (error instanceof Contradiction) return tampered(run, error);
    throw error;
  } finally {
    for (const reader of run.readers) await reader.close();
  }
}

/** What one verification has found so far. */
interface Run {
  readonly source: BundleSource;
  readonly options: VerifyOptions;
  readonly counts: VerifyCounts;
  readonly absences: Absence[];
  readonly notes: string[];
  readonly readers: LineReader[];
  stepBackMs: number;
  head?: BundleHead;
}

async function verifyAll(run: Run): Promise<CheckedCheckpoint> {
  const head = await readBundleHead(run.source, run.options.policy);
  run.head = head;
  const trusted = new TrustedKeys();
  await readTrust(run, head, trusted);
  const { from } = head.header;
  const manifests = new Evidence('manifests.jsonl', openLines(run, 'manifests.jsonl', memberLineMaxBytes));
  const receipts = new Evidence('receipts.jsonl', openLines(run, 'receipts.jsonl', memberLineMaxBytes));
  const content = new Content(manifests, receipts, trusted, from);
  const lines = openLines(run, 'checkpoints.jsonl', memberLineMaxBytes);
  const checkpoints = new Checkpoints(lines, head.header, run.options.policy, trusted);
  const chain = new RecordChain(openLines(run, 'records.jsonl', recordMaxBytes), head.header, head.checkpoint.root);
  await readRecords(run, head, chain, checkpoints, content);
  const checkpoint = checkpoints.checkFinal(head.note);
  run.counts.checkpoints = checkpoints.count + 1;
  await finishContent(run, content, trusted, from);
  await checkKeys(run, head, trusted);
  if (!checkpoint.isWitnessed) {
    absent(run, 'not_witnessed', 1, 'the checkpoint has not the cosignatures that the policy asks for');
  }
  return checkpoint;
}

async function readRecords(
  run: Run,
  head: BundleHead,
  chain: RecordChain,
  checkpoints: Checkpoints,
  content: Content,
): Promise<void> {
  const { from, size } = head.header;
  const { onProgress } = run.options;
  const state = checkState(run, head);
  await checkpoints.read();
  if (state?.size === from) checkpoints.compare(chain.tree, state.root, 'remembered');
  for (;;) {
    const record = await chain.next();
    if (record === undefined) break;
    const done = chain.tree.size;
    if (done === checkpoints.nextSize) await checkpoints.check(chain.tree);
    // The last record has no successor that names it: the root decides before its content does.
    if (done === size) checkpoints.compare(chain.tree, head.checkpoint.root, 'final');
    if (state?.size === done) checkpoints.compare(chain.tree, state.root, 'remembered');
    await content.apply(record);
    run.counts.records++;
    if (run.counts.records % progressRecords === 0) onProgress?.(run.counts.records, size - from);
  }
  if (from === size) checkpoints.compare(chain.tree, head.checkpoint.root, 'final');
  onProgress?.(size - from, size - from);
  run.stepBackMs = content.stepBackMs;
}

/** The state to compare with, where the bundle can show it; a log smaller than remembered was rolled back. */
function checkState(run: Run, { header }: BundleHead): RememberedState | undefined {
  const { state } = run.options;
  if (state === undefined) {
    // Rule 33: nothing in a bundle shows that records were cut off at the end and the rest signed before.
    run.notes.push('no earlier state was given: a log that was rolled back would not show');
    return undefined;
  }
  prove(state.log === header.log, 'bad_state', `the remembered state is of another log, ${state.log}`);
  if (state.size > header.size) {
    const expected = `at least the remembered size ${state.size.toString()}`;
    throw new Contradiction({ member: 'checkpoint', rule: 33, expected, found: header.size.toString() });
  }
  if (state.size < header.from) {
    absent(run, 'earlier_state', 1, 'the remembered state lies before the bundle: they cannot be compared');
  }
  return state;
}

/** Keys trusted before the bundle begins, each with the proof that its record is in the log (rule 28). */
async function readTrust(run: Run, head: BundleHead, trusted: TrustedKeys): Promise<void> {
  const { from, size, log } = head.header;
  if (from === 0) return;
  run.notes.push('proofs of earlier keys cannot show that no earlier key.retire was left out');
  if (!head.hasTrust) {
    trusted.mayMissKeys = true;
    absent(run, 'no_trust', 1, 'no trust.jsonl: keys trusted before the bundle begins are not known');
    return;
  }
  const lines = openLines(run, trustMember, memberLineMaxBytes);
  let lastSeq = -1;
  for (;;) {
    try {
      const line = await lines.next();
      if (line === undefined) return;
      const { seq, record: text, proof } = parseTrustLine(decodeText(line));
      const record = checkRecord(parseCanonical(text));
      holdRule(seq > lastSeq && seq < from, 28, 'not in the order of the log before the bundle');
      holdRule(record.seq === seq && record.log === log, 28, 'seq or log is not that of the record');
      holdRule(record.type === 'key.trust' || record.type === 'key.retire', 28, 'a record that is not about keys');
      const isIn = verifyInclusion(leafHash(text), seq, size, decodeHashes(proof), head.checkpoint.root);
      holdRule(isIn, 28, 'the proof does not lead to the root of the checkpoint');
      trusted.apply(record);
      lastSeq = seq;
    } catch (error) {
      throw locate({ member: trustMember, line: lines.line }, error);
    }
  }
}

async function finishContent(run: Run, content: Content, trusted: TrustedKeys, from: number): Promise<void> {
  const cut = content.finish();
  const manifests = await content.manifests.finish();
  const receipts = await content.receipts.finish();
  Object.assign(run.counts, content.attempts.counts(), content.submissions.counts());
  run.counts.manifests = manifests.found;
  run.counts.receipts = receipts.found;
  absent(run, 'missing_evidence', manifests.absent, 'manifests that records name are not in the bundle');
  absent(run, 'missing_evidence', receipts.absent, 'receipts that records name are not in the bundle');
  absent(run, 'pruned_evidence', manifests.pruned + receipts.pruned, 'manifests and receipts were pruned');
  absent(run, 'no_trust', content.unverified, 'signatures by keys that the bundle does not show');
  absent(run, 'untold_results', cut, 'results of the last record’s receipt are told by no record yet');
  const gaps = content.boots.gaps((nodeId) => trusted.isNewSince(nodeId, from));
  // A receipt whose bytes are gone takes its number with it: so many gaps are explained.
  const unexplained = gaps.missing - receipts.absent - receipts.pruned;
  absent(run, 'receipt_gap', unexplained, 'receipts are missing in the sequences of their nodes');
  note(run, gaps.unknown, 'boots have gaps in their receipts that may have been recorded before the bundle');
  note(run, run.counts.stray, 'late results are of orders that their node never had, or that were not stopped');
  note(run, run.counts.unknown, 'answers are to orders that the bundle does not show');
  note(run, content.prunedBefore, 'pruned hashes were named before the bundle begins');
  note(run, run.counts.changed_submissions, 'submissions were ordered with another hash, as with a newer tool digest');
  if (from === 0) note(run, run.counts.unsubmitted, 'ordered tasks are named by no submission');
}

/** `keys.json` and `log.vkey` must agree with what the records and the policy say (rule 26). */
async function checkKeys(run: Run, head: BundleHead, trusted: TrustedKeys): Promise<void> {
  try {
    const text = decodeText(await readWhole(run.source, 'keys.json', keysMaxBytes));
    const keys = parseKeyArchive(text);
    trusted.checkArchive(keys);
    run.counts.keys = keys.length;
  } catch (error) {
    throw locate({ member: 'keys.json' }, error);
  }
  const known = [...run.options.policy.logs, ...trusted.logKeys(Infinity)];
  at({ member: 'log.vkey' }, () => {
    const isKnown = trusted.mayMissKeys || head.logKeys.every((key) => isKeyOf(known, key));
    holdRule(isKnown, 26, 'a key that neither the policy nor a record names');
  });
}

function openLines(run: Run, member: string, lineMaxBytes: number): LineReader {
  const reader = new LineReader(run.source.chunks(member), lineMaxBytes);
  run.readers.push(reader);
  return reader;
}

function absent(run: Run, code: Absence['code'], count: number, message: string): void {
  if (count > 0) run.absences.push({ code, count, message });
}

function note(run: Run, count: number, message: string): void {
  if (count > 0) run.notes.push(`${count.toString()} ${message}`);
}

function conclude(run: Run, checkpoint: CheckedCheckpoint): VerifyReport {
  const { allowPruned = false } = run.options;
  const codes = new Set(run.absences.map(({ code }) => code));
  if (allowPruned) codes.delete('pruned_evidence');
  const isIncomplete = [...codes].some((code) => code !== 'pruned_evidence' && code !== 'not_witnessed');
  const verdict = isIncomplete
    ? 'incomplete'
    : codes.has('not_witnessed')
      ? 'not_witnessed'
      : codes.size > 0
        ? 'pruned'
        : 'verified';
  return {
    exit_code: verdict === 'verified' ? 0 : 2,
    verdict,
    ...describe(run),
    root: checkpoint.root.toString('base64'),
  };
}

function tampered(run: Run, { finding }: Contradiction): VerifyReport {
  return { exit_code: 1, verdict: 'tampered', first_bad: finding, ...describe(run) };
}

function describe(run: Run): Omit<VerifyReport, 'exit_code' | 'verdict'> {
  const { counts, absences, notes, stepBackMs, head } = run;
  const place = head === undefined ? {} : { log: head.header.log, from: head.header.from, size: head.header.size };
  return { ...place, absences, counts, farthest_step_back_ms: stepBackMs, notes };
}

function noCounts(): VerifyCounts {
  return {
    records: 0,
    checkpoints: 0,
    keys: 0,
    manifests: 0,
    receipts: 0,
    tasks: 0,
    orders: 0,
    accepted: 0,
    lost: 0,
    voided: 0,
    late: 0,
    open: 0,
    stray: 0,
    unknown: 0,
    changed_submissions: 0,
    unsubmitted: 0,
  };
}
