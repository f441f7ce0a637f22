/** Writ and its peers as contenders of one load: so many tasks that do nothing. */

import type { LoadReport, TaskLoad } from '../load/tasks.ts';
import { cpuMs } from '../measure/processes.ts';
import type { Sample } from '../measure/outcome.ts';
import type { Contender } from '../measure/turns.ts';
import { nowMs } from '../peers/serve.mjs';
import type { Installation, Session } from '../session.ts';
import { missingOf } from '../systems/available.ts';
import type { Peer, PeerName } from '../systems/peers.ts';
import { until } from '../systems/rest.ts';

/** Does nothing and succeeds. */
export const noop = { tool: 'noop', action: 'run', payload: {} };

/** What is submitted to Writ; what is absent is as in `throughput`. */
export type WritLoad = Partial<Omit<TaskLoad, 'tasks'>> & { tasks: number };

/** What one run of Writ has shown. CPU is in milliseconds for 1,000 tasks, up to where all is chained, signed and published. */
export interface WritRun {
  report: LoadReport;
  /** From the first submission to the last result committed. */
  elapsedMs: number;
  cpu: Record<string, number>;
}

/** One run on an installation that has nothing else to do. */
export async function runWrit({ writ, generator }: Installation, load: WritLoad): Promise<WritRun> {
  const used = async (): Promise<Record<string, number>> => ({
    ...(await writ.cpuMs()),
    ...(await cpuMs({ generator: [generator.pid] })),
  });
  const before = await used();
  const whole: TaskLoad = { urls: [writ.url], tokens: [writ.token], task: noop, size: 500, atOnce: 2, ...load };
  const report = await generator.call<LoadReport>('submit', whole);
  await writ.untilDone();
  const elapsedMs = nowMs() - report.beganMs;
  await writ.untilAtRest();
  return { report, elapsedMs, cpu: per1000(before, await used(), load.tasks) };
}

/** As long as the just-in-time compiler needs; a quick run goes without. */
export async function warmUp({ options: { warmUpTasks } }: Session, installation: Installation): Promise<void> {
  if (warmUpTasks > 0) await runWrit(installation, { tasks: warmUpTasks });
}

/** Throughput of Writ. */
export function writContender(
  name: string,
  installation: Installation,
  load: WritLoad,
  { options: { warmUpTasks } }: Session,
): Contender {
  return {
    name,
    isWrit: true,
    warmUp: () => runWrit(installation, { ...load, tasks: Math.min(warmUpTasks, load.tasks) }),
    run: async () => {
      if (warmUpTasks > 0) await runWrit(installation, { ...load, tasks: settleJobs });
      const { elapsedMs, cpu } = await runWrit(installation, load);
      return { figures: { tasks_per_s: (load.tasks * 1000) / elapsedMs }, cpu };
    },
  };
}

/** Those of the peers that this machine has, started; what is missing goes into `notes`. */
export async function peerContenders(
  session: Session,
  names: readonly PeerName[],
  jobs: number,
  notes: string[],
): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const name of names) {
    const missing = missingOf(name);
    if (missing !== undefined) {
      notes.push(`skipped ${name}: ${missing}`);
      continue;
    }
    const peer = await session.peers.start(name).catch((error: unknown) => {
      session.fail(`${name} cannot be started: ${String(error)}`);
      notes.push(`skipped ${name}: it cannot be started`);
      return undefined;
    });
    if (peer !== undefined) contenders.push(peerContender(peer, jobs, session.options.warmUpTasks));
  }
  return contenders;
}

function peerContender(peer: Peer, jobs: number, warmUpJobs: number): Contender {
  return {
    name: peer.title,
    isWrit: false,
    warmUp: () => warmUpPeer(peer, warmUpJobs),
    run: async () => {
      if (warmUpJobs > 0) await warmUpPeer(peer, settleJobs);
      return runPeer(peer, jobs);
    },
  };
}

/** Before each run of each system: it comes back from while the others ran, and the planner of a store learns what a queue in use looks like. */
const settleJobs = 4000;

/** The planner of the store learns of a full queue before the worker begins, and of one in the midst of work. */
async function warmUpPeer(peer: Peer, jobs: number): Promise<void> {
  const { producer, worker, load } = peer;
  worker.resume();
  await worker.call('expect', { jobs });
  worker.pause();
  await producer.call('produce', { jobs, ...load });
  await peer.vacuum();
  worker.resume();
  try {
    await worker.call('halfway');
    await peer.vacuum();
    await worker.call('handled');
    await until(async () => !(await peer.isBusy()), { what: peer.title });
  } finally {
    worker.pause();
  }
}

/** From the first add to the last job committed as done. */
async function runPeer(peer: Peer, jobs: number): Promise<Sample> {
  const { producer, worker, load } = peer;
  worker.resume();
  try {
    await worker.call('expect', { jobs });
    const before = await peer.cpuMs();
    const [{ beganMs }, { endedMs }] = await Promise.all([
      producer.call<{ beganMs: number }>('produce', { jobs, ...load }),
      worker.call<{ endedMs: number }>('handled'),
    ]);
    const wasBusy = await peer.isBusy();
    if (wasBusy) await until(async () => !(await peer.isBusy()), { what: peer.title });
    const elapsedMs = (wasBusy ? nowMs() : endedMs) - beganMs;
    return {
      figures: { tasks_per_s: (jobs * 1000) / elapsedMs },
      cpu: per1000(before, await peer.cpuMs(), jobs),
    };
  } finally {
    worker.pause();
  }
}

/** CPU between two readings. */
function per1000(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
  tasks: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, ms]) => [name, ((ms - (before[name] ?? 0)) * 1000) / tasks]),
  );
}

/** What `inTurn` needs of a session; peers that fail are told in `notes`. */
export function turnsOf(session: Session, notes: string[]) {
  return {
    rounds: session.options.rounds,
    warmsUp: session.options.warmUpTasks > 0,
    say: (text: string) => {
      session.say(text);
    },
    onPeerFailed: (name: string, error: unknown) => {
      session.fail(`${name} failed: ${String(error)}`);
      notes.push(`${name} failed and is left out`);
    },
  };
}
