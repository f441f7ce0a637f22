/** Runs `writ serve` until a signal asks it to stop. */

import { signalled, unlessStopped } from './run-dev.ts';
import { startServe, type ServeOptions } from './serve.ts';

export interface RunServeOptions extends ServeOptions {
  /** One JSON document instead of a line for people. */
  json: boolean;
}

/** Resolves after an orderly stop. A second signal ends the process at once. */
export async function runServe(options: RunServeOptions): Promise<void> {
  const stopped = signalled();
  const serving = await unlessStopped(startServe(options), stopped);
  if (serving === undefined) return;
  const { url, origin } = serving;
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ url, origin, pid: process.pid })}\n`
      : `Writ serves at ${url}  (log ${origin})\n`,
  );
  await stopped;
  await serving.stop();
}
