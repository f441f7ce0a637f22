/** `writ task cancel|redrive|settle`: acts upon tasks, each of them a record of the audit log. */

import type { Command } from 'commander';
import type { Task, WritClient } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import { isEndState } from '../../domain/task-state.ts';
import { addCommand, type Invocation, type Session } from '../command.ts';
import { showTasks } from '../follow.ts';

interface ReasonOption {
  reason?: string;
}

const outcomes = ['succeeded', 'failed', 'run_again'] as const;

export function addTaskActCommands(group: Command, session: Session): void {
  addCommand<ReasonOption>(group, session, {
    usage: 'cancel <task-id...>',
    summary: 'cancel tasks; running ones are asked to stop',
    connects: true,
    examples: ['writ task cancel $ID --reason "wrong target"'],
    options: (command) => command.option('--reason <text>', 'kept in the audit log'),
    run: async (invocation) => {
      const tasks = await actOnEach(invocation, (client, taskId, body) => client.cancel(taskId, body));
      const running = tasks.filter(({ state }) => !isEndState(state)).length;
      if (running > 0) invocation.screen.note(`${running.toString()} asked to stop; see with "writ task wait"`);
      return undefined;
    },
  });
  addCommand<ReasonOption>(group, session, {
    usage: 'redrive <task-id...>',
    summary: 'queue tasks again that failed, expired or were cancelled',
    connects: true,
    examples: ['writ task redrive $ID --reason "host is back"'],
    options: (command) => command.option('--reason <text>', 'kept in the audit log'),
    run: async (invocation) => {
      await actOnEach(invocation, (client, taskId, body) => client.redrive(taskId, body));
      return undefined;
    },
  });
  addCommand<{ as: string; reason: string }>(group, session, {
    usage: 'settle <task-id>',
    summary: 'say what became of a task that is in doubt',
    connects: true,
    examples: ['writ task settle $ID --as succeeded --reason "the firewall has the rule"'],
    options: (command) =>
      command
        .requiredOption('--as <outcome>', outcomes.join(', '))
        .requiredOption('--reason <text>', 'how you know; kept in the audit log'),
    run: async ({ args: [taskId], options, connect, screen }) => {
      const as = outcomes.find((outcome) => outcome === options.as);
      if (as === undefined) throw new AppError('invalid', `--as takes ${outcomes.join(', ')}, not "${options.as}".`);
      const task = await (await connect()).settle(taskId as string, { as, reason: options.reason });
      if (screen.json) await screen.value(task);
      else await showTasks(screen, [task]);
      return undefined;
    },
  });
}

type Act = (client: WritClient, taskId: string, body: { reason?: string }) => Promise<Task>;

/** One after the other; the first that is refused ends it, after what was done is shown. */
async function actOnEach(invocation: Invocation<ReasonOption>, act: Act): Promise<Task[]> {
  const { args, options, connect, screen } = invocation;
  const body = options.reason === undefined ? {} : { reason: options.reason };
  const client = await connect();
  const done: Task[] = [];
  try {
    for (const taskId of args[0] as string[]) {
      const task = await act(client, taskId, body);
      done.push(task);
      if (screen.json) await screen.value(task);
    }
  } finally {
    if (!screen.json && done.length > 0) await showTasks(screen, done);
  }
  return done;
}
