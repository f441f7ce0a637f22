/** Runs `writ dev` until a signal asks it to stop. */

import { startDev, type Dev, type DevOptions } from './dev.ts';

export interface RunDevOptions extends DevOptions {
  /** One JSON document instead of lines for people. */
  json: boolean;
}

/** Resolves after an orderly stop. A second signal ends the process at once. */
export async function runDev(options: RunDevOptions): Promise<void> {
  const stopped = signalled();
  const dev = await startDev(options);
  process.stdout.write(options.json ? `${JSON.stringify(summaryOf(dev))}\n` : welcome(dev));
  const signal = await stopped;
  if (!options.json) process.stderr.write(`\n${signal}: stopping; press Ctrl-C again to stop at once.\n`);
  await dev.stop();
}

/** Resolves at the first SIGINT or SIGTERM; the next one ends the process. */
export function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let count = 0;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (++count > 1) process.exit(130);
        resolve(signal);
      });
    }
  });
}

/** What was started; undefined where a signal came first: the process may end then, which is as safe as being killed. */
export async function unlessStopped<T>(starting: Promise<T>, stopped: Promise<unknown>): Promise<T | undefined> {
  const started = await Promise.race([starting, stopped.then(() => undefined)]);
  // Whatever goes on starting ends with the process.
  if (started === undefined) setTimeout(() => process.exit(), 0);
  return started;
}

function summaryOf(dev: Dev): object {
  return {
    url: dev.url,
    https_url: dev.httpsUrl,
    data_dir: dev.dataDir,
    token_file: dev.tokenPath,
    policy_file: dev.policyPath,
    ca_file: dev.caPath,
    node_id: dev.nodeId,
    pid: process.pid,
  };
}

function welcome(dev: Dev): string {
  return [
    `Writ is ready at ${dev.url}  (${dev.httpsUrl}, CA in ${dev.caPath})`,
    `  admin token     ${dev.tokenPath}`,
    `  log policy      ${dev.policyPath}`,
    `  node            ${dev.nodeId}`,
    '',
    'Try, in another terminal:',
    `  writ submit tcp.connect host=127.0.0.1 port=${new URL(dev.url).port} --wait`,
    '  writ task list',
    `  writ audit export --out bundle && writ audit verify bundle --policy ${dev.policyPath}`,
    '',
    'Ctrl-C stops everything.',
    '',
  ].join('\n');
}
