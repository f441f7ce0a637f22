/** Routes that read tasks. */

import { z } from 'zod';
import { taskStates } from '../../../domain/task-state.ts';
import { explainTask } from '../../../tasks/explain.ts';
import type { TaskFilters } from '../../../tasks/read-sql.ts';
import { readAttempts, readResult } from '../../../tasks/read-result.ts';
import { deadLetters, listTasks } from '../../../tasks/read-tasks.ts';
import { readTimeline } from '../../../tasks/timeline.ts';
import * as shapes from '../answer-schemas.ts';
import { cursorParameter, labelParameters, limitParameter, timeParameter, waitParameter } from '../query.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';
import { waitForEnd } from '../wait-for-end.ts';

const text = z.string().min(1).max(255);

const listQuery = z.strictObject({
  state: z.enum(taskStates).optional(),
  source: text.optional(),
  tool: text.optional(),
  action: text.optional(),
  requested_by: text.optional(),
  tag: text.optional(),
  label: labelParameters,
  created_from: timeParameter.optional(),
  created_to: timeParameter.optional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

const params = { task_id: 'Id of a task' };

export function taskReadRoutes(services: HttpServices): Route[] {
  const { database } = services;
  return [
    route({
      method: 'get',
      path: '/api/v1/tasks',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'List tasks, newest first',
      query: listQuery,
      answers: { 200: { description: 'A page of tasks', schema: shapes.taskList } },
      handle: async ({ query }) => {
        const { limit, cursor, label, ...rest } = query;
        const filters = definedOf({ ...rest, labels: label });
        const { items, next_cursor } = await listTasks(database, filters, cursor, limit);
        return { status: 200, body: { tasks: items, next_cursor } };
      },
    }),
    route({
      method: 'get',
      path: '/api/v1/tasks/{task_id}',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'Read a task, or with `wait_s` wait for its end',
      params,
      query: z.strictObject({ wait_s: waitParameter }),
      answers: { 200: { description: 'The task', schema: shapes.task } },
      handle: async ({ params: { task_id = '' }, query, ended }) => ({
        status: 200,
        body: await waitForEnd(services, task_id, query.wait_s, ended),
      }),
    }),
    route({
      method: 'get',
      path: '/api/v1/tasks/{task_id}/result',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'Read what a task came to',
      params,
      answers: { 200: { description: 'The result; 404 `not_finished` before the end', schema: shapes.taskResult } },
      handle: async ({ params: { task_id = '' } }) => ({ status: 200, body: await readResult(database, task_id) }),
    }),
    route({
      method: 'get',
      path: '/api/v1/tasks/{task_id}/attempts',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'List the attempts at a task, first to last',
      params,
      answers: { 200: { description: 'All attempts', schema: shapes.attemptList } },
      handle: async ({ params: { task_id = '' } }) => ({
        status: 200,
        body: { attempts: await readAttempts(database, task_id) },
      }),
    }),
    route({
      method: 'get',
      path: '/api/v1/tasks/{task_id}/timeline',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'Read what happened to a task, from the audit log',
      params,
      answers: { 200: { description: 'The records that tell of it, in order', schema: shapes.timeline } },
      handle: async ({ params: { task_id = '' } }) => ({
        status: 200,
        body: { timeline: await readTimeline(database, task_id) },
      }),
    }),
    route({
      method: 'get',
      path: '/api/v1/tasks/{task_id}/explain',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'Say why a task is not running',
      params,
      answers: { 200: { description: 'All reasons that hold now', schema: shapes.explanation } },
      handle: async ({ params: { task_id = '' } }) => ({
        status: 200,
        body: await explainTask(database, task_id, { catalog: services.catalog, system: services.system() }),
      }),
    }),
    route({
      method: 'get',
      path: '/api/v1/dead-letters',
      access: 'tasks:read',
      tag: 'tasks',
      summary: 'List tasks that failed for good, newest first, with their last error',
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      answers: { 200: { description: 'A page of failed tasks', schema: shapes.deadLetterList } },
      handle: async ({ query }) => {
        const { items, next_cursor } = await deadLetters(database, query.cursor, query.limit);
        return { status: 200, body: { dead_letters: items, next_cursor } };
      },
    }),
  ];
}

function definedOf(filters: { [Name in keyof TaskFilters]: TaskFilters[Name] | undefined }): TaskFilters {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined));
}
