/** Follows tasks to their ends: each change of state on a terminal, a bar for many, and the exit code that they come to. */

import type { Task, WritClient } from '../client/client.ts';
import { isEndState } from '../domain/task-state.ts';
import { exitCodes, type ExitCode } from './exit-code.ts';
import { startProgress } from './progress.ts';
import { stateCell, type Screen } from './screen.ts';
import { terminalText } from './terminal-text.ts';
import { tintOf } from './style.ts';

/** Long polls that are open at once. */
const pollsMax = 16;

export interface FollowOptions {
  timeoutS: number | undefined;
}

/** Waits for one task and tells each state that is seen on stderr. */
export async function followTask(
  client: WritClient,
  screen: Screen,
  taskId: string,
  options: FollowOptions,
): Promise<Task> {
  const { timeoutS } = options;
  const isShown = !screen.json && screen.stderr.isTTY === true;
  return client.wait(taskId, {
    ...(timeoutS === undefined ? {} : { timeoutS }),
    ...(isShown ? { onChange: (task) => screen.note(stateLine(screen, task)) } : {}),
  });
}

/** Waits for many tasks, in the order given; `timeoutS` is for all together. */
export async function followTasks(
  client: WritClient,
  screen: Screen,
  taskIds: readonly string[],
  options: FollowOptions,
): Promise<Task[]> {
  const [only] = taskIds;
  if (only !== undefined && taskIds.length === 1) return [await followTask(client, screen, only, options)];
  const { timeoutS } = options;
  const endMs = timeoutS === undefined ? Infinity : screen.nowMs + timeoutS * 1000;
  const tasks: Task[] = [];
  const progress = await startProgress(screen, 'ended', taskIds.length);
  let next = 0;
  let done = 0;
  const poll = async (): Promise<void> => {
    for (;;) {
      const at = next++;
      const taskId = taskIds[at];
      if (taskId === undefined) return;
      const leftS = (endMs - screen.nowMs) / 1000;
      const limit = leftS === Infinity ? {} : { timeoutS: Math.max(0, leftS) };
      tasks[at] = await client.wait(taskId, limit);
      progress.update(++done);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(pollsMax, taskIds.length) }, poll));
  } finally {
    progress.stop();
  }
  return tasks;
}

/** 0 where all succeeded, 1 where one ended otherwise, else 2: the time was up first. */
export function exitOfTasks(tasks: readonly Task[]): ExitCode {
  if (tasks.some(({ state }) => isEndState(state) && state !== 'succeeded')) return exitCodes.bad;
  return tasks.every(({ state }) => state === 'succeeded') ? exitCodes.ok : exitCodes.incomplete;
}

/** How tasks stand, one a row. */
export async function showTasks(screen: Screen, tasks: readonly Task[]): Promise<void> {
  const rows = tasks.map((task) => [
    task.task_id,
    stateCell(task.state),
    `${task.tool}.${task.action}`,
    task.priority.toString(),
    task.reason ?? '',
  ]);
  const columns = [
    { header: 'TASK' },
    { header: 'STATE' },
    { header: 'ACTION', isFlexible: true },
    { header: 'PRIORITY', align: 'right' },
    { header: 'REASON' },
  ] as const;
  await screen.table(columns, rows);
}

function stateLine(screen: Screen, task: Task): string {
  const time = new Date(screen.nowMs).toISOString().slice(11, 23);
  const tint = tintOf(task.state);
  const state = terminalText(task.state);
  const reason = task.reason === null ? '' : ` (${terminalText(task.reason)})`;
  return `${screen.style('dim', time)}  ${tint === undefined ? state : screen.style(tint, state)}${reason}`;
}
