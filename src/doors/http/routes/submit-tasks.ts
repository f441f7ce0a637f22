/** Routes that take tasks in. */

import type { HttpServices } from '../services.ts';
import { z } from 'zod';
import { AppError } from '../../../domain/error.ts';
import { batchMaxTasks, submission, submissionBatch, type Task } from '../../../domain/task.ts';
import { fieldErrors } from '../../../tasks/plan.ts';
import { planAnswer } from '../../../tasks/plan-answer.ts';
import type { Answer } from '../../../tasks/submit-commit.ts';
import * as shapes from '../answer-schemas.ts';
import { waitParameter } from '../query.ts';
import { route, type Reply, type Route } from '../route.ts';
import { waitForEnd } from '../wait-for-end.ts';

const describedBatch = z.strictObject({
  tasks: z.array(submission).min(1).max(batchMaxTasks),
  atomic: z.boolean().default(false).optional(),
});

export function submitRoutes(services: HttpServices): Route[] {
  const { submitter } = services;
  return [
    route({
      method: 'post',
      path: '/api/v1/tasks',
      access: 'tasks:submit',
      tag: 'tasks',
      summary: 'Submit a task',
      query: z.strictObject({ wait_s: waitParameter }),
      body: submission,
      checkedLater: true,
      isIdempotent: true,
      answers: {
        202: { description: 'The task as it is accepted, or after `wait_s` as it is then', schema: shapes.task },
      },
      handle: async ({ principal, body, context, idempotency, query, ended }) => {
        const call = { principal, items: [body], mode: 'single' as const, requestId: context.requestId };
        const answer = await submitter.submit(idempotency === undefined ? call : { ...call, idempotency });
        const reply = replyOf(answer);
        if (query.wait_s === 0) return reply;
        const { task_id } = JSON.parse(answer.body.toString('utf8')) as Task;
        return { ...reply, body: await waitForEnd(services, task_id, query.wait_s, ended) };
      },
    }),
    route({
      method: 'post',
      path: '/api/v1/tasks/batch',
      access: 'tasks:submit',
      tag: 'tasks',
      summary: 'Submit up to 1,000 tasks; each has its own outcome, or with `atomic` all or none are accepted',
      body: describedBatch,
      checkedLater: true,
      isIdempotent: true,
      answers: {
        202: { description: 'One outcome for each task, in order', schema: shapes.batchResults },
        422: { description: '`atomic`, and one is refused: none is accepted', schema: shapes.problem },
      },
      handle: async ({ principal, body, context, idempotency }) => {
        const { tasks, atomic } = readBatch(body);
        const mode = atomic === true ? ('atomic' as const) : ('batch' as const);
        const call = { principal, items: tasks, mode, requestId: context.requestId };
        return replyOf(await submitter.submit(idempotency === undefined ? call : { ...call, idempotency }));
      },
    }),
    route({
      method: 'post',
      path: '/api/v1/tasks/plan',
      access: 'tasks:submit',
      tag: 'tasks',
      summary: 'Decide about tasks as a submission would, and store nothing',
      body: describedBatch,
      checkedLater: true,
      isDryRun: true,
      answers: { 200: { description: 'One decision for each task, in order', schema: shapes.planResults } },
      handle: async ({ principal, body }) => {
        const outcomes = await submitter.plan(principal, readBatch(body).tasks);
        return { status: 200, body: { results: await planAnswer(services.database, outcomes, services.catalog) } };
      },
    }),
  ];
}

/** The batch itself is checked here, its items one by one where they are decided about. */
function readBatch(body: unknown): z.infer<typeof submissionBatch> {
  const parsed = submissionBatch.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new AppError(
    'invalid',
    `A batch is {"tasks": [1 to ${batchMaxTasks.toString()} tasks], "atomic": true or false}.`,
    {
      reason: 'invalid_batch',
      errors: fieldErrors(parsed.error),
    },
  );
}

/** An answer that a room has made ready, as it goes out. */
export function replyOf({ status, location, body, replayed }: Answer): Reply {
  return {
    status,
    body,
    headers: {
      ...(location === null ? {} : { Location: location }),
      ...(replayed ? { 'Idempotency-Replayed': 'true' } : {}),
    },
  };
}
