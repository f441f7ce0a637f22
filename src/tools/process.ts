/** Runs one program in a process group of its own, bounded in time and output; nothing of the group outlives the call. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { outputMaxBytes, type Output } from './result.ts';

export interface ProcessOrder {
  /** Absolute. */
  program: string;
  args: readonly string[];
  cwd: string;
  /** The whole environment. */
  env: Readonly<Record<string, string>>;
  /** Undefined closes standard input. */
  stdin: string | undefined;
  /** Aborts the program: SIGTERM to the group, SIGKILL after `killDelayMs`. */
  signal: AbortSignal;
  /** What it may write in all before it is killed; default 1 GiB. */
  drainMaxBytes?: number;
}

export interface ProcessOutcome {
  /** Null where a signal ended it, or where it never started. */
  exitCode: number | null;
  exitSignal: string | null;
  /** Why it never started: the system's code. */
  startError: string | null;
  /** The order's signal came before it ended, so its exit code says nothing about its work. */
  stopped: boolean;
  /** Standard output. */
  output: Output;
  /** It wrote more than it may and was killed. */
  flooded: boolean;
  stderrTail: string;
  stderrBytes: number;
}

/** Between SIGTERM and SIGKILL. */
const killDelayMs = 2000;
/** A process that left the group may hold the pipes open; so long they are waited for. */
const drainDelayMs = 1000;
const defaultDrainMaxBytes = 1024 * 1024 * 1024;
const stderrTailBytes = 4096;

/**
 * Starts the program without a shell and resolves when it has ended and its group is gone. Never rejects. A process
 * that made a session of its own is out of reach.
 */
export function runProcess(order: ProcessOrder): Promise<ProcessOutcome> {
  return new Promise((resolve) => {
    const outcome = { exitCode: null, exitSignal: null, startError: null, stopped: false } as Ending;
    let child: ChildProcess;
    try {
      child = spawn(order.program, order.args, {
        cwd: order.cwd,
        env: order.env,
        detached: true,
        shell: false,
        stdio: [order.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      });
    } catch (error) {
      resolve({ ...outcome, startError: codeOf(error), ...new Drain(0).close() });
      return;
    }
    const drain = new Drain(order.drainMaxBytes ?? defaultDrainMaxBytes);
    let killTimer: NodeJS.Timeout | undefined;
    const stop = (): void => {
      outcome.stopped = true;
      killGroup(child, 'SIGTERM');
      killTimer = setTimeout(() => {
        killGroup(child, 'SIGKILL');
      }, killDelayMs);
    };
    drain.read(child, () => {
      killGroup(child, 'SIGKILL');
    });
    child.stdin?.on('error', ignore);
    child.stdin?.end(order.stdin);
    if (order.signal.aborted) stop();
    else order.signal.addEventListener('abort', stop, { once: true });

    const finish = (): void => {
      clearTimeout(killTimer);
      order.signal.removeEventListener('abort', stop);
      resolve({ ...outcome, ...drain.close() });
    };
    child.once('error', (error) => {
      if (child.pid !== undefined) return;
      outcome.startError = codeOf(error);
      finish();
    });
    child.once('exit', (code, signal) => {
      outcome.exitCode = code;
      outcome.exitSignal = signal;
      order.signal.removeEventListener('abort', stop);
      // What the program left running in its group goes with it.
      killGroup(child, 'SIGKILL');
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, drainDelayMs);
      child.once('close', () => {
        clearTimeout(timer);
        finish();
      });
    });
  });
}

type Ending = Pick<ProcessOutcome, 'exitCode' | 'exitSignal' | 'startError' | 'stopped'>;

/** Reads both pipes to their end: hashes all of standard output, keeps its beginning, and the end of standard error. */
class Drain {
  private readonly hash = createHash('sha256');
  private readonly kept: Buffer[] = [];
  private keptBytes = 0;
  private bytes = 0;
  private stderr = Buffer.alloc(0);
  private stderrBytes = 0;
  private flooded = false;
  private readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  read(child: ChildProcess, onFlood: () => void): void {
    const flood = (): void => {
      if (this.flooded || this.bytes + this.stderrBytes <= this.maxBytes) return;
      this.flooded = true;
      onFlood();
    };
    listen(child.stdout, (chunk) => {
      this.hash.update(chunk);
      this.bytes += chunk.byteLength;
      const part = chunk.subarray(0, outputMaxBytes - this.keptBytes);
      if (part.byteLength > 0) this.kept.push(Buffer.from(part));
      this.keptBytes += part.byteLength;
      flood();
    });
    listen(child.stderr, (chunk) => {
      this.stderrBytes += chunk.byteLength;
      this.stderr = Buffer.concat([this.stderr, chunk.subarray(-stderrTailBytes)]).subarray(-stderrTailBytes);
      flood();
    });
  }

  close(): Pick<ProcessOutcome, 'output' | 'flooded' | 'stderrTail' | 'stderrBytes'> {
    return {
      output: {
        output: Buffer.concat(this.kept),
        output_sha256: this.hash.digest('hex'),
        output_bytes: this.bytes,
        truncated: this.bytes > this.keptBytes,
      },
      flooded: this.flooded,
      stderrTail: this.stderr.toString('utf8'),
      stderrBytes: this.stderrBytes,
    };
  }
}

function listen(stream: Readable | null, onChunk: (chunk: Buffer) => void): void {
  stream?.on('data', onChunk);
  stream?.on('error', ignore);
}

/** The child leads a group of its own (`detached`), whose id is its process id. */
function killGroup(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

function ignore(): void {
  // A pipe that breaks is seen by the end of the process.
}
