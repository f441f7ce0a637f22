/** `writ task get|list|wait|result`: how tasks stand and what they came to. */

import type { Command } from 'commander';
import type { Task, TaskFilters, TaskState } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import { taskStates } from '../../domain/task-state.ts';
import { addCommand, collect, type Invocation, type Session } from '../command.ts';
import { parseDurationS, parseTime, relativeTime } from '../duration.ts';
import type { ExitCode } from '../exit-code.ts';
import { exitOfTasks, followTasks, showTasks } from '../follow.ts';
import { readCount } from '../read-count.ts';
import { stateCell, type Screen } from '../screen.ts';
import { showResult } from '../show-result.ts';
import type { Cell } from '../table.ts';

interface ListOptions {
  state?: string;
  source?: string;
  tool?: string;
  action?: string;
  requestedBy?: string;
  tag?: string;
  label?: string[];
  from?: string;
  to?: string;
  limit?: string;
  all?: boolean;
}

export function addTaskReadCommands(group: Command, session: Session): void {
  addCommand(group, session, {
    usage: 'get <task-id>',
    summary: 'show a task',
    connects: true,
    examples: ['writ task get 0197a6f0-3c1e-7b7e-9d3e-0c2f3a4b5c6d', 'writ task get $ID --json | jq .state'],
    run: async ({ args: [taskId], connect, screen }) => {
      const task = await (await connect()).get(taskId as string);
      if (screen.json) await screen.value(task);
      else await showTask(screen, task);
      return undefined;
    },
  });
  addCommand<ListOptions>(group, session, {
    usage: 'list',
    summary: 'list tasks, newest first',
    connects: true,
    examples: [
      'writ task list --state failed',
      'writ task list --label team=blue --from 2026-05-01T00:00:00Z',
      'writ task list --all --json > tasks.jsonl',
    ],
    options: addListOptions,
    run: listTasks,
  });
  addCommand<{ timeout?: string }>(group, session, {
    usage: 'wait <task-id...>',
    summary: 'wait until tasks have ended',
    connects: true,
    examples: ['writ task wait $ID --timeout 10m', 'writ task wait $A $B $C'],
    options: (command) => command.option('--timeout <duration>', 'stop waiting after this time; exit code 2'),
    run: waitForTasks,
  });
  addCommand(group, session, {
    usage: 'result <task-id>',
    summary: 'show what a task came to',
    connects: true,
    examples: ['writ task result $ID', 'writ task result $ID --json | jq .output'],
    run: async ({ args: [taskId], connect, screen }) => {
      const result = await (await connect()).result(taskId as string);
      if (screen.json) await screen.value(result);
      else await showResult(screen, result);
      return undefined;
    },
  });
}

function addListOptions(command: Command): void {
  command
    .optionsGroup('Only tasks with:')
    .option('--state <state>', taskStates.join(', '))
    .option('--source <text>', 'this source')
    .option('--tool <name>', 'this tool')
    .option('--action <name>', 'this action')
    .option('--requested-by <name>', 'this requester')
    .option('--tag <text>', 'this tag')
    .option('--label <name=value>', 'this label; may be repeated', collect)
    .option('--from <time>', 'created at this time or later')
    .option('--to <time>', 'created before this time')
    .optionsGroup('Options:')
    .option('--limit <number>', 'at most so many (default 50)')
    .option('--all', 'all of them');
}

async function listTasks({ options, connect, screen }: Invocation<ListOptions>): Promise<ExitCode | undefined> {
  const filters = filtersOf(options, screen.nowMs);
  const limit = options.all === true ? Infinity : readCount(options.limit, '--limit', 50);
  const client = await connect();
  const tasks: Task[] = [];
  for await (const task of client.list(filters, { limit })) {
    if (screen.json) await screen.value(task);
    else tasks.push(task);
  }
  if (screen.json) return undefined;
  if (tasks.length === 0) {
    screen.note('no tasks');
    return undefined;
  }
  const rows = tasks.map((task) => [
    task.task_id,
    stateCell(task.state),
    `${task.tool}.${task.action}`,
    task.priority.toString(),
    task.requested_by,
    task.tries.toString(),
    relativeTime(task.created_at, screen.nowMs),
    relativeTime(task.ended_at, screen.nowMs),
  ]);
  const columns = [
    { header: 'TASK' },
    { header: 'STATE' },
    { header: 'ACTION', isFlexible: true },
    { header: 'PRIO', align: 'right' },
    { header: 'BY' },
    { header: 'TRIES', align: 'right' },
    { header: 'CREATED' },
    { header: 'ENDED' },
  ] as const;
  await screen.table(columns, rows);
  if (tasks.length === limit) screen.note(`the newest ${limit.toString()}; --limit or --all shows more`);
  return undefined;
}

function filtersOf(options: ListOptions, nowMs: number): TaskFilters {
  const { state, source, tool, action, requestedBy, tag, label, from, to } = options;
  if (state !== undefined && !taskStates.includes(state as TaskState)) {
    throw new AppError('invalid', `There is no state "${state}": ${taskStates.join(', ')}.`);
  }
  return {
    ...(state === undefined ? {} : { state: state as TaskState }),
    ...(source === undefined ? {} : { source }),
    ...(tool === undefined ? {} : { tool }),
    ...(action === undefined ? {} : { action }),
    ...(requestedBy === undefined ? {} : { requested_by: requestedBy }),
    ...(tag === undefined ? {} : { tag }),
    ...(label === undefined ? {} : { labels: Object.fromEntries(label.map(readLabel)) }),
    ...(from === undefined ? {} : { created_from: parseTime(from, nowMs) }),
    ...(to === undefined ? {} : { created_to: parseTime(to, nowMs) }),
  };
}

function readLabel(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new AppError('invalid', `"${text}" is no label of the form name=value.`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

async function waitForTasks(invocation: Invocation<{ timeout?: string }>): Promise<ExitCode> {
  const { options, args, connect, screen } = invocation;
  const timeoutS = options.timeout === undefined ? undefined : parseDurationS(options.timeout);
  const tasks = await followTasks(await connect(), screen, args[0] as string[], { timeoutS });
  if (screen.json) for (const task of tasks) await screen.value(task);
  else await showTasks(screen, tasks);
  return exitOfTasks(tasks);
}

async function showTask(screen: Screen, task: Task): Promise<void> {
  const { nowMs } = screen;
  const when = (time: string | null): string => (time === null ? '-' : `${time} (${relativeTime(time, nowMs)})`);
  const labels = Object.entries(task.labels).map(([name, value]) => `${name}=${value}`);
  const pairs: [string, Cell][] = [
    ['task', task.task_id],
    ['state', stateCell(task.state)],
    ['reason', task.reason ?? '-'],
    ['action', `${task.tool}.${task.action}`],
    ['payload', JSON.stringify(task.payload)],
    ['effects', task.effects],
    ['priority', task.priority.toString()],
    ['requested by', task.requested_by],
    ['source', task.source],
    ['required role', task.required_role],
    ['timeout', `${task.timeout_s.toString()} s`],
    ['tries', `${task.tries.toString()} of ${task.retry.max_attempts.toString()}`],
    ['created', when(task.created_at)],
    ['run at', when(task.run_at)],
    ['expires at', when(task.expires_at)],
    ['started', when(task.started_at)],
    ['ended', when(task.ended_at)],
    ['node', task.node_id ?? '-'],
    ['tags', task.tags.length === 0 ? '-' : task.tags.join(', ')],
    ['labels', labels.length === 0 ? '-' : labels.join(', ')],
    ['task sha256', task.task_sha256],
    ['manifest sha256', task.manifest_sha256 ?? '-'],
  ];
  await screen.pairs(pairs.filter(([, cell]) => cell !== '-'));
}
