/** Runs `writ work` until a signal, its management door or a failure ends it. */

import { signalled, unlessStopped } from './run-dev.ts';
import { startWork, type WorkOptions } from './work.ts';

export interface RunWorkOptions extends Omit<WorkOptions, 'onEnd'> {
  /** One JSON document instead of a line for people. */
  json: boolean;
}

/** Resolves after an orderly stop: true where it was asked for. A second signal ends the process at once. */
export async function runWork(options: RunWorkOptions): Promise<boolean> {
  const stopped = signalled().then(() => 'terminated' as const);
  let end: (reason: 'failed' | 'terminated') => void = () => undefined;
  const ended = new Promise<'failed' | 'terminated'>((resolve) => {
    end = resolve;
  });
  const starting = startWork({
    ...options,
    onEnd: (reason) => {
      end(reason);
    },
  });
  const working = await unlessStopped(starting, stopped);
  if (working === undefined) return true;
  const { nodeId, dataDir, managementUrl } = working;
  const summary = { node_id: nodeId, data_dir: dataDir, management_url: managementUrl ?? null, pid: process.pid };
  process.stdout.write(
    options.json ? `${JSON.stringify(summary)}\n` : `Node ${nodeId} takes orders  (data in ${dataDir})\n`,
  );
  const reason = await Promise.race([stopped, ended]);
  await working.stop();
  return reason === 'terminated';
}
