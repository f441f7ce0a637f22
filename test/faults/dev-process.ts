/** `writ dev` as a process of its own, to be killed, stopped and started again on the same folder. */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What `writ dev --json` says when it is ready. */
export interface DevSummary {
  url: string;
  data_dir: string;
  token_file: string;
  policy_file: string;
  node_id: string;
  pid: number;
}

export interface DevFolder {
  dataDir: string;
  /** HOME of the process: the mark of the log lies below it. */
  home: string;
  environment?: Record<string, string>;
  /** HOST:PORT of the API; any free port by default. */
  http?: string;
}

/** How a process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** One run of `writ dev`. */
export class DevProcess {
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  readonly ended: Promise<Ended>;
  /** Resolves when it serves; fails with what it wrote where it ends before. */
  readonly ready: Promise<DevSummary>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = once(child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
    this.ready = new Promise((resolve, reject) => {
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        this.#stdout += text;
        const end = this.#stdout.indexOf('\n');
        if (end >= 0) resolve(JSON.parse(this.#stdout.slice(0, end)) as DevSummary);
      });
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
      void this.ended.then(({ code, signal }) => {
        reject(new Error(`writ dev ended (${String(code ?? signal)}) before it was ready:\n${this.#stderr}`));
      });
    });
    this.ready.catch(() => undefined);
  }

  /** Starts it; the answer is not ready yet. It leads a process group of its own. */
  static start({ dataDir, home, environment = {}, http = '127.0.0.1:0' }: DevFolder): DevProcess {
    const child = spawn(process.execPath, [...writ(), 'dev', '--json', '--data', dataDir, '--http', http], {
      cwd: home,
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...environment },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new DevProcess(child);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start');
    return this.#child.pid;
  }

  /** As `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** Asks it to stop, and answers how it ended. */
  async stop(): Promise<Ended> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }
}

/** Runs another command of `writ`, and answers how it ended. */
export async function runWrit(args: readonly string[], environment: Record<string, string> = {}): Promise<Ended> {
  return runProgram(process.execPath, [...writ(), ...args], { ...environment });
}

/** Runs a program to its end. */
export function runProgram(
  file: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Ended> {
  const env = { PATH: process.env['PATH'] ?? '', ...environment };
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, maxBuffer: 64 * 1024 * 1024 }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr });
    });
  });
}

/** Processes of PostgreSQL that work on a data folder. */
export function postgresOf(dataDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid.toString()}/cmdline`, 'utf8').includes(join(dataDir, 'postgres'));
      } catch {
        return false;
      }
    });
}

/** As `kill -9`; one that has ended meanwhile is no error. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** One call of the API with the administrator's token. Fails where no answer comes. */
export async function call(
  summary: Pick<DevSummary, 'url' | 'token_file'>,
  path: string,
  options: { body?: unknown; key?: string } = {},
): Promise<{ status: number; body: unknown }> {
  const token = (await readFile(summary.token_file, 'utf8')).trim();
  const response = await fetch(`${summary.url}/api/v1/${path}`, {
    method: options.body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(options.key === undefined ? {} : { 'idempotency-key': options.key }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

let program: readonly string[] | undefined;

/** What was built where it is as new as the sources, else the sources. */
function writ(): readonly string[] {
  return (program ??= isBuilt()
    ? [join(root, 'bin/writ')]
    : [`--import=${join(root, 'node_modules/tsx/dist/loader.mjs')}`, join(root, 'src/cli/main.ts')]);
}

function isBuilt(): boolean {
  const builtMs = statSync(join(root, 'dist/.tsbuildinfo'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .every((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs <= builtMs);
}
