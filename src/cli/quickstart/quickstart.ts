/** The quickstart: everything on embedded parts, a real job, its results, its telemetry, and the proof. */

import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { signalled } from '../../app/run-dev.ts';
import { startDev, type Dev } from '../../app/dev.ts';
import { tailTelemetry } from '../../app/telemetry-tap.ts';
import { WritClient, WritApiError } from '../../client/client.ts';
import type { TelemetryEvent } from '../../domain/event.ts';
import type { Task } from '../../domain/task.ts';
import { createLog } from '../../platform/observability/log.ts';
import { formatReport } from '../audit-verify.ts';
import { startProgress } from '../progress.ts';
import { stateCell, type Screen } from '../screen.ts';
import { forbiddenItems, quickstartJob, quickstartScope, type JobItem, type JobPlaces } from './job.ts';
import { proveLog, type ProofOutcome } from './proof.ts';

const eventsShown = 8;
const eventsWaitMs = 10_000;
const endedStates: readonly string[] = ['succeeded', 'failed', 'cancelled', 'expired'];

export interface QuickstartOptions {
  dataDir: string;
  httpListen?: string | undefined;
  /** Ends when all is shown, instead of serving on. */
  exit: boolean;
  screen: Screen;
}

/** A running installation for the job, however it was started. */
export interface QuickstartTarget {
  /** Address of the API. */
  url: string;
  /** Authority of its certificate, PEM, where it has one of its own. */
  caCert?: string;
  adminToken: string;
  policyPath: string;
  /** Folder for what is exported. */
  dataDir: string;
  places: JobPlaces;
  /** Consumes telemetry as a consumer does, until `signal`. */
  tail: (onEvent: (event: TelemetryEvent) => void, signal: AbortSignal) => Promise<void>;
}

/** Answers whether everything held. */
export async function runQuickstart(options: QuickstartOptions): Promise<boolean> {
  const { screen } = options;
  const stopped = signalled();
  const startedMs = screen.nowMs;
  screen.note('Starting PostgreSQL, broker, orchestrator and node …');
  const dev = await startDev({
    dataDir: options.dataDir,
    flags: { http_listen: options.httpListen },
    log: createLog('warn'),
  });
  let holds = false;
  try {
    screen.note(`Ready at ${dev.url} after ${((screen.nowMs - startedMs) / 1000).toString()} s.\n`);
    holds = await runJobOn(targetOf(dev), screen);
    if (options.exit) return holds;
    await screen.lines(nextSteps(dev));
    await stopped;
    return holds;
  } finally {
    await dev.stop();
    screen.note('Everything is stopped.');
  }
}

function targetOf(dev: Dev): QuickstartTarget {
  const { url, httpsUrl, adminToken, policyPath, dataDir, databasePort } = dev;
  return {
    ...{ url, adminToken, policyPath, dataDir },
    places: { httpUrl: url, httpsUrl, ports: [['PostgreSQL', databasePort]] },
    tail: (onEvent, signal) => tailTelemetry({ dataDir, feed: 'events', signal, onEvent }),
  };
}

/** Does the job, shows its results and its telemetry, and proves the log. Answers whether everything held. */
export async function runJobOn(target: QuickstartTarget, screen: Screen): Promise<boolean> {
  const connection = { url: target.url, ...(target.caCert === undefined ? {} : { caCert: target.caCert }) };
  const admin = new WritClient({ ...connection, token: target.adminToken });
  await admin.setScope(quickstartScope);
  const { token, token_id } = await admin.createToken({
    name: 'quickstart',
    kind: 'svc',
    roles: ['operator'],
    scope: quickstartScope.name,
    expires_in_s: 3600,
  });
  const events: TelemetryEvent[] = [];
  const stop = new AbortController();
  const tail = target.tail((event) => {
    events.push(event);
  }, stop.signal);
  try {
    const client = new WritClient({ ...connection, token });
    const items = await quickstartJob(target.places);
    const tasks = await runJob(client, items, screen);
    await screen.table(
      columns,
      tasks.map((task, i) => row(items[i]?.label ?? '', task)),
    );
    const refused = await refusals(client, screen);
    const told = await showEvents(events, tasks, screen);
    const lastSeq = events.at(-1)?.attributes.audit_seq ?? 0;
    const proof = await proveLog(admin, { dataDir: target.dataDir, policyPath: target.policyPath, lastSeq });
    await admin.revokeToken(token_id);
    const proved = await showProof(proof, screen);
    return tasks.every(({ state }) => state === 'succeeded') && refused && told && proved;
  } finally {
    stop.abort();
    await tail.catch(() => undefined);
  }
}

const columns = [
  { header: 'CHECK', isFlexible: true },
  { header: 'ACTION' },
  { header: 'PRIO', align: 'right' as const },
  { header: 'STATE' },
  { header: 'MS', align: 'right' as const },
];

async function runJob(client: WritClient, items: readonly JobItem[], screen: Screen): Promise<Task[]> {
  const outcomes = await client.submitBatch(items.map(({ task }) => task));
  const tasks: Task[] = [];
  const progress = await startProgress(screen, 'checks', items.length);
  try {
    for (const outcome of outcomes) {
      if (!('task' in outcome)) throw new Error(`a check was refused: ${outcome.error.detail}`);
      tasks.push(await client.wait(outcome.task.task_id));
      progress.update(tasks.filter(({ state }) => endedStates.includes(state)).length);
    }
  } finally {
    progress.stop();
  }
  return tasks;
}

function row(label: string, task: Task): (string | ReturnType<typeof stateCell>)[] {
  const ms =
    task.started_at === null || task.ended_at === null
      ? ''
      : (Date.parse(task.ended_at) - Date.parse(task.started_at)).toString();
  return [label, `${task.tool}.${task.action}`, task.priority.toString(), stateCell(task.state), ms];
}

/** Two requests that must not pass: what is outside the scope, and what the role does not allow. */
async function refusals(client: WritClient, screen: Screen): Promise<boolean> {
  await screen.lines(['', 'Asked for, and refused:']);
  let all = true;
  for (const { label, task, expectedCode } of forbiddenItems) {
    const answer = await client.submit(task).then(
      () => 'accepted',
      (error: unknown) => (error instanceof WritApiError ? `${error.status.toString()} ${error.code}` : 'no answer'),
    );
    all &&= answer === `403 ${expectedCode}`;
    await screen.lines([`  ${screen.style(answer.startsWith('403') ? 'green' : 'red', answer.padEnd(18))}  ${label}`]);
  }
  return all;
}

/** Waits until the consumer has had an event for the end of each task, and shows some. */
async function showEvents(events: readonly TelemetryEvent[], tasks: readonly Task[], screen: Screen): Promise<boolean> {
  const missing = (): number => {
    const finished = new Set(events.filter((e) => e.event_type === 'task.finished').map((e) => e.target?.id));
    return tasks.filter(({ task_id }) => !finished.has(task_id)).length;
  };
  for (let waitedMs = 0; missing() > 0 && waitedMs < eventsWaitMs; waitedMs += 50) await delay(50);
  await screen.lines([
    '',
    `A consumer of the telemetry queue received ${events.length.toString()} events; the last of them:`,
  ]);
  await screen.table(
    [
      { header: 'SEQ', align: 'right' },
      { header: 'EVENT' },
      { header: 'STATUS' },
      { header: 'TARGET', isFlexible: true },
    ],
    events
      .slice(-eventsShown)
      .map((event) => [
        event.attributes.audit_seq.toString(),
        event.event_type,
        stateCell(event.status),
        event.target === null ? '' : `${event.target.kind} ${event.target.id}`,
      ]),
  );
  return missing() === 0;
}

async function showProof(proof: ProofOutcome, screen: Screen): Promise<boolean> {
  const { report, tampered, flippedSeq } = proof;
  await screen.lines([
    '',
    screen.style('bold', `writ audit verify ${shown(proof.bundleDir)}`),
    ...formatReport(report).trimEnd().split('\n'),
  ]);
  await screen.lines([
    '',
    screen.style(
      'bold',
      `The same, with one bit of record ${flippedSeq.toString()} flipped: writ audit verify ${shown(proof.tamperedDir)}`,
    ),
    ...formatReport(tampered).trimEnd().split('\n').slice(0, 4),
  ]);
  return report.exit_code === 0 && tampered.exit_code === 1 && tampered.first_bad?.seq === flippedSeq;
}

function nextSteps(dev: Dev): string[] {
  return [
    '',
    `Writ serves on ${dev.url} (and ${dev.httpsUrl}, CA in ${shown(dev.caPath)}).`,
    `The admin token lies in ${shown(dev.tokenPath)}. Try, in another terminal of this folder:`,
    '',
    `  ./bin/writ submit tls.inspect host=127.0.0.1 port=${new URL(dev.httpsUrl).port} --wait`,
    '  ./bin/writ task list',
    `  ./bin/writ telemetry tail`,
    '',
    'Ctrl-C stops everything.',
  ];
}

function shown(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : join('.', near);
}
