/** Runs the command line inside of the test, with streams that are kept, or as a process of its own. */

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { PassThrough, Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../src/cli/run-cli.ts';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  environment?: Record<string, string>;
  folder?: string;
  stdin?: string;
  /** Whether stdout and stderr are a terminal, 100 columns wide. */
  isTerminal?: boolean;
}

/** The time that commands see. */
export const now = '2026-01-01T01:00:00.000Z';

class Kept extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 100;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { environment = {}, folder = '/nonexistent', stdin, isTerminal = false } = options;
  const stdout = new Kept(isTerminal);
  const stderr = new Kept(isTerminal);
  const input = stdin === undefined ? Object.assign(new PassThrough(), { isTTY: true }) : Readable.from([stdin]);
  const clock = { now: () => Date.parse(now), monotonicMs: () => performance.now() };
  const code = await runCli(args, { stdin: input, stdout, stderr, clock, folder, environment });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

const root = new URL('../../', import.meta.url);
const main = fileURLToPath(new URL('src/cli/main.ts', root));

/** The command as users start it. With `stopsReading` nobody reads its output after the first bytes. */
export function spawnCli(args: readonly string[], options: RunOptions & { stopsReading?: boolean } = {}): Promise<Ran> {
  const { environment = {}, folder = fileURLToPath(root), stdin = '', stopsReading = false } = options;
  const { PATH = '', HOME = '', NODE_V8_COVERAGE } = process.env;
  const coverage = NODE_V8_COVERAGE === undefined ? {} : { NODE_V8_COVERAGE };
  const tsx = createRequire(import.meta.url).resolve('tsx');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
      cwd: folder,
      env: { PATH, HOME, ...coverage, ...environment },
      stdio: 'pipe',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
      if (stopsReading) child.stdout.destroy();
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}
