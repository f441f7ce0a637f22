/** Single submissions by many clients at once, beside a bare route of Express that authenticates in the same way. */

import { createHash } from 'node:crypto';
import type { LoadReport } from '../load/tasks.ts';
import { cpuMs } from '../measure/processes.ts';
import { percentile } from '../measure/spread.ts';
import { inTurn, type Contender } from '../measure/turns.ts';
import type { Benchmark, Installation, Session } from '../session.ts';
import { hasPackage } from '../systems/available.ts';
import { startHelper } from '../systems/helper.ts';
import { noop, runWrit, turnsOf } from './contenders.ts';
import { principals } from './principals.ts';

const requestsNormal = 10_000;
const atOnce = 32;
/** Several, each from an address of its own: one alone may not call so often. */
const principalCount = 4;

export const single: Benchmark = {
  name: 'single',
  line: 'single submissions, 32 at once; beside a bare Express + passport route',
  run: async (session) => {
    const requests = session.tasks(requestsNormal);
    const notes = [
      `${principalCount} principals from ${principalCount} addresses: one alone is limited to 2,000 calls/s`,
    ];
    const installation = await session.installation();
    const tokens = await principals(installation.writ, principalCount);
    const contenders = [writ(session, installation, tokens, requests)];
    if (hasPackage('passport-http-bearer')) contenders.push(await bare(session, installation, tokens, requests));
    else notes.push('skipped the bare route: its packages are not installed');
    const rows = await inTurn(contenders, turnsOf(session, notes));
    return { name: 'single', title: `${requests.toLocaleString('en')} requests, ${atOnce} at once`, rows, notes };
  },
};

function writ(session: Session, installation: Installation, tokens: string[], requests: number): Contender {
  const run = (tasks: number) => runWrit(installation, { tasks, tokens, size: 1, atOnce });
  return {
    name: 'Writ',
    isWrit: true,
    warmUp: () => run(session.options.warmUpTasks),
    run: async () => {
      const { report, cpu, elapsedMs } = await run(requests);
      return { figures: figuresOf(report, elapsedMs), cpu };
    },
  };
}

async function bare(
  session: Session,
  { writ: { client }, generator }: Installation,
  tokens: string[],
  requests: number,
): Promise<Contender> {
  const sha256 = tokens.map((token) => createHash('sha256').update(token).digest('hex'));
  // The answer of Writ, so that both send as much.
  const answer = await client.submit(noop);
  const server = await startHelper('peers/http.mjs', { sha256, answer }, session.cleanup);
  const port = await server.call<number>('port');
  const urls = [`http://127.0.0.1:${port}`];
  const used = () => cpuMs({ server: [server.pid], generator: [generator.pid] });
  const run = (tasks: number) =>
    generator.call<LoadReport>('submit', { urls, tokens, task: noop, size: 1, atOnce, tasks });
  return {
    name: 'bare Express + passport route',
    isWrit: false,
    warmUp: () => run(session.options.warmUpTasks),
    run: async () => {
      const before = await used();
      const report = await run(requests);
      const after = await used();
      const cpu = Object.entries(after).map(([name, ms]) => [name, ((ms - (before[name] ?? 0)) * 1000) / requests]);
      return {
        figures: figuresOf(report, report.endedMs - report.beganMs),
        cpu: Object.fromEntries(cpu) as Record<string, number>,
      };
    },
  };
}

/** `elapsedMs` is until all that was asked for was done. */
function figuresOf({ beganMs, endedMs, callsMs }: LoadReport, elapsedMs: number): Record<string, number> {
  return {
    requests_per_s: (callsMs.length * 1000) / (endedMs - beganMs),
    p50_ms: percentile(callsMs, 0.5),
    p99_ms: percentile(callsMs, 0.99),
    finished_per_s: (callsMs.length * 1000) / elapsedMs,
  };
}
