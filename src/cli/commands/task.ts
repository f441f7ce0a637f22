/** `writ task …`: reading tasks, and acting upon them. */

import type { Command } from 'commander';
import { addGroup, type Session } from '../command.ts';
import { addTaskActCommands } from './task-act.ts';
import { addTaskHistoryCommands } from './task-history.ts';
import { addTaskReadCommands } from './task-read.ts';

export function addTaskCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'task', 'read tasks, wait for them, act upon them');
  addTaskReadCommands(group, session);
  addTaskHistoryCommands(group, session);
  addTaskActCommands(group, session);
}
