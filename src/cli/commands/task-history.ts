/** `writ task explain|attempts|timeline|dead-letters`: why a task is not running, and what happened to it. */

import type { Command } from 'commander';
import type { DeadLetter } from '../../client/client.ts';
import { addCommand, type Invocation, type Session } from '../command.ts';
import { formatSpan, relativeTime } from '../duration.ts';
import type { ExitCode } from '../exit-code.ts';
import { readCount } from '../read-count.ts';
import { stateCell } from '../screen.ts';

export function addTaskHistoryCommands(group: Command, session: Session): void {
  addCommand(group, session, {
    usage: 'explain <task-id>',
    summary: 'say why a task is not running',
    connects: true,
    examples: ['writ task explain $ID', "writ task explain $ID --json | jq -r '.reasons[].code'"],
    run: explain,
  });
  addCommand(group, session, {
    usage: 'attempts <task-id>',
    summary: 'show every try at a task',
    connects: true,
    examples: ['writ task attempts $ID'],
    run: showAttempts,
  });
  addCommand(group, session, {
    usage: 'timeline <task-id>',
    summary: 'show what the audit log tells of a task',
    connects: true,
    examples: ['writ task timeline $ID'],
    run: showTimeline,
  });
  addCommand<{ limit?: string }>(group, session, {
    usage: 'dead-letters',
    summary: 'list tasks that failed for good, with their last error',
    connects: true,
    examples: [
      'writ task dead-letters',
      'writ task dead-letters --json | jq -r .task.task_id | xargs writ task redrive',
    ],
    options: (command) => command.option('--limit <number>', 'at most so many (default 50)'),
    run: showDeadLetters,
  });
}

async function explain({ args: [taskId], connect, screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const explanation = await (await connect()).explain(taskId as string);
  if (screen.json) {
    await screen.value(explanation);
    return undefined;
  }
  const { task_id, state, reasons, candidate_nodes } = explanation;
  const nodes = candidate_nodes === null ? [] : [['nodes that could run it', candidate_nodes.toString()] as const];
  await screen.pairs([['task', task_id], ['state', stateCell(state)], ...nodes]);
  await screen.lines(['']);
  const rows = reasons.map(({ code, detail, node_id }) => [
    code,
    node_id === undefined ? detail : `${detail} Node ${node_id}.`,
  ]);
  await screen.table([{ header: 'WHY' }, { header: 'DETAIL' }], rows);
  return undefined;
}

async function showAttempts({ args: [taskId], connect, screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const attempts = await (await connect()).attempts(taskId as string);
  if (screen.json) {
    for (const attempt of attempts) await screen.value(attempt);
    return undefined;
  }
  if (attempts.length === 0) screen.note('no attempt yet; "writ task explain" says why');
  const rows = attempts.map(({ attempt, status, reason, node_id, issued_at, started_at, ended_at, error }) => [
    attempt.toString(),
    status === null ? 'in hand' : stateCell(status),
    reason ?? '',
    node_id ?? '-',
    relativeTime(issued_at, screen.nowMs),
    started_at === null || ended_at === null ? '-' : formatSpan(Date.parse(ended_at) - Date.parse(started_at)),
    error === null ? '' : `${error.code}: ${error.message}`,
  ]);
  const headers = ['STATUS', 'REASON', 'NODE', 'ISSUED'].map((header) => ({ header }));
  const columns = [{ header: '#' }, ...headers, { header: 'TOOK' }, { header: 'ERROR', isFlexible: true }];
  if (rows.length > 0) await screen.table(columns, rows);
  return undefined;
}

async function showTimeline({ args: [taskId], connect, screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const entries = await (await connect()).timeline(taskId as string);
  if (screen.json) {
    for (const entry of entries) await screen.value(entry);
    return undefined;
  }
  if (entries.length === 0) screen.note('the log does not tell of it yet: ask again in a moment');
  const rows = entries.map(({ seq, ts, type, outcome, reason, actor, attempt, status, note }) => [
    seq.toString(),
    ts,
    type,
    stateCell(status ?? outcome),
    attempt === null ? '' : attempt.toString(),
    actor ?? '-',
    [reason, note].filter((text) => text !== null).join(': '),
  ]);
  const headers = ['TIME', 'RECORD', 'OUTCOME', 'ATTEMPT', 'BY'].map((header) => ({ header }));
  const columns = [{ header: 'SEQ', align: 'right' } as const, ...headers, { header: 'WHY', isFlexible: true }];
  if (rows.length > 0) await screen.table(columns, rows);
  return undefined;
}

async function showDeadLetters({
  options,
  connect,
  screen,
}: Invocation<{ limit?: string }>): Promise<ExitCode | undefined> {
  const limit = readCount(options.limit, '--limit', 50);
  const letters: DeadLetter[] = [];
  for await (const letter of (await connect()).deadLetters({ limit })) {
    if (screen.json) await screen.value(letter);
    else letters.push(letter);
  }
  if (screen.json) return undefined;
  if (letters.length === 0) screen.note('no dead letters');
  const rows = letters.map(({ task, error }) => [
    task.task_id,
    `${task.tool}.${task.action}`,
    task.requested_by,
    task.tries.toString(),
    relativeTime(task.ended_at, screen.nowMs),
    error === null ? (task.reason ?? '') : `${error.code}: ${error.message}`,
  ]);
  const headers = ['TASK', 'ACTION', 'BY', 'TRIES', 'ENDED'].map((header) => ({ header }));
  if (rows.length > 0) await screen.table([...headers, { header: 'ERROR', isFlexible: true }], rows);
  return undefined;
}
