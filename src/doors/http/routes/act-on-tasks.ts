/** Routes that act on tasks which are there. */

import { cancelRequest, cancelTask } from '../../../tasks/cancel.ts';
import type { TaskCommand } from '../../../tasks/command.ts';
import { redriveRequest, redriveTask } from '../../../tasks/redrive.ts';
import { settleRequest, settleTask } from '../../../tasks/settle.ts';
import * as shapes from '../answer-schemas.ts';
import { route, type PrincipalCall, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';
import { recordRefusal } from './record-refusal.ts';
import { replyOf } from './submit-tasks.ts';

const params = { task_id: 'Id of a task' };

export function taskCommandRoutes(services: HttpServices): Route[] {
  const { commands } = services;
  return [
    route({
      method: 'post',
      path: '/api/v1/tasks/{task_id}/cancel',
      access: 'tasks:cancel',
      tag: 'tasks',
      summary: 'Cancel a task: at once while it waits, by a request to its node while it runs',
      params,
      body: cancelRequest,
      isIdempotent: true,
      answers: { 202: { description: 'The task as it is now', schema: shapes.task } },
      handle: async (call) => replyOf(await cancelTask(commandOf(call), call.body, commands)),
    }),
    route({
      method: 'post',
      path: '/api/v1/tasks/{task_id}/redrive',
      access: 'tasks:redrive',
      tag: 'tasks',
      summary: 'Queue a task again that failed, expired or was cancelled',
      params,
      body: redriveRequest,
      isIdempotent: true,
      answers: { 202: { description: 'The task, queued', schema: shapes.task } },
      handle: async (call) => {
        const refused = recordRefusal(services, call, 'task.redrive', 'tasks:redrive');
        return replyOf(await redriveTask(commandOf(call), call.body, commands).catch(refused));
      },
    }),
    route({
      method: 'post',
      path: '/api/v1/tasks/{task_id}/settle',
      access: 'tasks:settle',
      tag: 'tasks',
      summary: 'Say what became of a task that is in doubt',
      params,
      body: settleRequest,
      isIdempotent: true,
      answers: { 200: { description: 'The task as it is now', schema: shapes.task } },
      handle: async (call) => {
        const refused = recordRefusal(services, call, 'task.settle', 'tasks:settle');
        return replyOf(await settleTask(commandOf(call), call.body, commands).catch(refused));
      },
    }),
  ];
}

function commandOf({
  principal,
  params: { task_id = '' },
  context,
  idempotency,
}: PrincipalCall<unknown, unknown>): TaskCommand {
  const command = { principal, taskId: task_id, requestId: context.requestId };
  return idempotency === undefined ? command : { ...command, idempotency };
}
