/** Verifies a bundle on disk by a policy on disk, without a database, a server or a socket. */

import { readFile, rename, writeFile } from 'node:fs/promises';
import { AppError } from '../domain/error.ts';
import { ProofError } from '../proof/proof-error.ts';
import { parsePolicy, type Policy } from '../proof/policy.ts';
import type { FirstBad, VerifyCounts, VerifyReport } from '../proof/report.ts';
import { formatState, parseState, type RememberedState } from '../proof/state.ts';
import { decodeHash } from '../proof/base64.ts';
import { verifyBundle as verifySource } from '../proof/verify.ts';
import { openBundle } from './bundle-source.ts';

export interface VerifyBundleOptions {
  /** Directory, tar or compressed tar. */
  path: string;
  policyPath: string;
  /** Remembered state: compared where it exists, and written where the log was verified. */
  statePath?: string | undefined;
  /** Whether pruned evidence alone leaves the verdict good. */
  allowPruned?: boolean | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Verifies a bundle. What is wrong with it is in the report; what is wrong with the call or the disk is an AppError
 * with reason `policy_unreadable`, `bad_policy`, `state_unreadable`, `bad_state` or `bundle_unreadable`.
 */
export async function verifyBundle(options: VerifyBundleOptions): Promise<VerifyReport> {
  const { path, policyPath, statePath, allowPruned = false, onProgress } = options;
  const policy = await readPolicy(policyPath);
  const state = statePath === undefined ? undefined : await readState(statePath);
  let report: VerifyReport;
  try {
    report = await verifySource(await openBundle(path), {
      policy,
      allowPruned,
      ...(state === undefined ? {} : { state }),
      ...(onProgress === undefined ? {} : { onProgress }),
    });
  } catch (error) {
    if (error instanceof ProofError) throw new AppError('invalid', error.message, { reason: error.code }, error);
    throw new AppError('invalid', `The bundle ${path} cannot be read.`, { reason: 'bundle_unreadable' }, error);
  }
  if (statePath !== undefined) await remember(statePath, report);
  return report;
}

/** The report for people: the verdict first, then what it rests on. */
export function formatReport(report: VerifyReport): string {
  const { counts } = report;
  const lines = [verdicts[report.verdict]];
  if (report.first_bad !== undefined) lines.push(...formatFirstBad(report.first_bad));
  if (report.log !== undefined) lines.push(`log                  ${report.log}`);
  if (report.size !== undefined) {
    lines.push(
      `records              ${(report.from ?? 0).toString()} to ${report.size.toString()}, ${counts.records.toString()} read`,
    );
  }
  if (report.root !== undefined) lines.push(`root                 ${report.root}`);
  for (const name of Object.keys(counts) as (keyof VerifyCounts)[]) {
    if (name !== 'records') lines.push(`${name.replaceAll('_', ' ').padEnd(20)} ${counts[name].toString()}`);
  }
  for (const { count, message } of report.absences) lines.push(`absent               ${count.toString()} × ${message}`);
  for (const note of report.notes) lines.push(`note                 ${note}`);
  if (report.farthest_step_back_ms > 0) {
    lines.push(
      `note                 times of records step back by up to ${report.farthest_step_back_ms.toString()} ms`,
    );
  }
  return `${lines.map(printable).join('\n')}\n`;
}

const verdicts: Readonly<Record<VerifyReport['verdict'], string>> = {
  verified: 'VERIFIED: every record, signature, manifest and receipt holds',
  tampered: 'TAMPERED: something contradicts a signature, a hash or a rule',
  incomplete: 'INCOMPLETE: nothing contradicts, but something that is named is not there',
  pruned: 'PRUNED: nothing contradicts, but evidence was removed; --allow-pruned accepts that',
  not_witnessed: 'NOT WITNESSED: nothing contradicts, but the policy asks for cosignatures that are not there',
};

function formatFirstBad(bad: FirstBad): string[] {
  const line = bad.line === undefined ? '' : `, line ${bad.line.toString()}`;
  const isInterval = bad.last_seq !== undefined && bad.last_seq !== bad.seq;
  const record = isInterval
    ? `, one of the records ${String(bad.seq)} to ${String(bad.last_seq)}`
    : bad.seq === undefined
      ? ''
      : `, record ${bad.seq.toString()}`;
  return [
    `first bad            ${bad.member}${line}${record}`,
    `expected             ${bad.expected}`,
    `found                ${bad.found}${bad.rule === undefined ? '' : ` (rule ${bad.rule.toString()} of docs/audit-format.md)`}`,
  ];
}

/** Text of a bundle may hold anything: control and direction characters are shown, not sent to the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

async function readPolicy(path: string): Promise<Policy> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const message = `The policy ${path} cannot be read. Without a policy there is no verification: give --policy FILE.`;
    throw new AppError('invalid', message, { reason: 'policy_unreadable' }, error);
  }
  try {
    return parsePolicy(text);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    throw new AppError(
      'invalid',
      `The policy ${path} is no policy: ${error.message}.`,
      { reason: 'bad_policy' },
      error,
    );
  }
}

/** Undefined where there is no state yet: the first verification writes it. */
async function readState(path: string): Promise<RememberedState | undefined> {
  try {
    return parseState(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    const reason = error instanceof ProofError ? 'bad_state' : 'state_unreadable';
    throw new AppError('invalid', `The state ${path} cannot be used.`, { reason }, error);
  }
}

/** Remembers what was signed, seen by the quorum and not contradicted; never an earlier size. */
async function remember(path: string, report: VerifyReport): Promise<void> {
  const { exit_code: exitCode, log, size, root, absences } = report;
  const isWitnessed = !absences.some(({ code }) => code === 'not_witnessed' || code === 'earlier_state');
  if (exitCode === 1 || !isWitnessed || log === undefined || size === undefined || root === undefined) return;
  const draft = `${path}.new`;
  try {
    await writeFile(draft, formatState({ log, size, root: decodeHash(root) }), { flush: true });
    await rename(draft, path);
  } catch (error) {
    throw new AppError('invalid', `The state ${path} cannot be written.`, { reason: 'state_unreadable' }, error);
  }
}
