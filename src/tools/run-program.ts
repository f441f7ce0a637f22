/** Runs an action's program: arguments, environment, working directory, and what its exit means. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExitMeaning, ProcessRun } from '../domain/tool.ts';
import { buildArguments } from './arguments.ts';
import type { CatalogAction } from './catalog.ts';
import { runProcess, type ProcessOutcome } from './process.ts';
import { searchPath } from './program.ts';
import { actionError, emptyOutput, type ActionError, type Output } from './result.ts';

export interface ProgramOutcome {
  output: Output;
  error: ActionError | null;
  retryable: boolean;
  metadata: Record<string, unknown>;
}

/** Runs the program once in a directory of its own, which is removed afterwards. */
export async function runProgram(
  action: CatalogAction,
  run: ProcessRun,
  parameters: Readonly<Record<string, unknown>>,
  options: { signal: AbortSignal; workDir: string; traceparent: string | undefined },
): Promise<ProgramOutcome> {
  const { args, problems } = buildArguments(run, parameters);
  const [problem] = problems;
  if (problem !== undefined) return failed('payload_invalid', `${problem.path}: ${problem.message}`);
  if (action.program === undefined) return failed('program_missing', 'the program is not on this machine');
  const stdin = run.stdin === undefined ? undefined : textOf(parameters[run.stdin.param]);

  await mkdir(options.workDir, { recursive: true, mode: 0o700 });
  const cwd = await mkdtemp(join(options.workDir, 'attempt-'));
  let outcome: ProcessOutcome;
  let removed = true;
  try {
    const env = environment(run, cwd, options.traceparent);
    outcome = await runProcess({ program: action.program, args, cwd, env, stdin, signal: options.signal });
  } finally {
    removed = await remove(cwd);
  }
  return { ...judge(action, run, outcome), output: outcome.output, metadata: metadataOf(outcome, removed) };
}

/** Nothing of this process's own environment goes on. */
function environment(run: ProcessRun, cwd: string, traceparent: string | undefined): Record<string, string> {
  return {
    LANG: 'C.UTF-8',
    HOME: cwd,
    TMPDIR: cwd,
    ...run.env,
    ...(traceparent === undefined ? {} : { TRACEPARENT: traceparent }),
    PATH: searchPath.join(':'),
  };
}

function judge(
  action: CatalogAction,
  run: ProcessRun,
  outcome: ProcessOutcome,
): { error: ActionError | null; retryable: boolean } {
  const { exitCode, exitSignal, startError } = outcome;
  const fail = (code: string, message: string, retryable = false) => ({ error: actionError(code, message), retryable });
  if (startError !== null) return fail('start_failed', `the program could not be started (${startError})`);
  if (outcome.flooded) return fail('output_flood', 'the program wrote more than 1 GiB and was killed');
  if (outcome.stopped) return fail('stopped', 'the program was stopped');
  if (exitCode === null) return fail('killed_by_signal', `the program was ended by ${exitSignal ?? 'a signal'}`);
  const meaning = meaningOf(action, exitCode);
  if (meaning !== 'succeeded') {
    return fail(
      `exit_${exitCode.toString()}`,
      `the program ended with exit code ${exitCode.toString()}`,
      meaning === 'retryable',
    );
  }
  if (run.expects_output !== 'json') return { error: null, retryable: false };
  if (outcome.output.truncated) return fail('output_too_large', 'the output is too large to be read as JSON');
  return isJson(outcome.output.output)
    ? { error: null, retryable: false }
    : fail('output_not_json', 'the program should write JSON and did not');
}

function meaningOf(action: CatalogAction, exitCode: number): ExitMeaning {
  if (action.exit_codes === undefined) return exitCode === 0 ? 'succeeded' : 'failed';
  return action.exit_codes[exitCode.toString()] ?? 'failed';
}

function metadataOf(outcome: ProcessOutcome, removed: boolean): Record<string, unknown> {
  return {
    ...(outcome.exitCode === null ? {} : { exit_code: outcome.exitCode }),
    ...(outcome.exitSignal === null ? {} : { signal: outcome.exitSignal }),
    ...(outcome.stderrBytes === 0 ? {} : { stderr_tail: outcome.stderrTail, stderr_bytes: outcome.stderrBytes }),
    ...(removed ? {} : { work_dir_left: true }),
  };
}

function failed(code: string, message: string): ProgramOutcome {
  return { output: emptyOutput, error: actionError(code, message), retryable: false, metadata: {} };
}

/** A parameter as the text that a program reads: a text as it is, anything else as JSON. */
function textOf(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

async function remove(directory: string): Promise<boolean> {
  try {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
    return true;
  } catch {
    return false;
  }
}
