/** A task as integrations submit it and read it. */

import { z } from 'zod';
import { endStates, liveStates } from './task-state.ts';

/** Seconds; a task's payload has at most so many bytes of canonical JSON. */
export const payloadMaxBytes = 256 * 1024;
export const batchMaxTasks = 1000;
export const timeoutMaxS = 86_400;

/** A name of a tool, action, role, scope or principal. */
export const name = z.string().regex(/^[a-z][a-z0-9._-]{0,62}$/, 'a name: lower case, digits, ". _ -", 63 at most');

const timestamp = z.iso.datetime({ offset: true });
const label = z.string().min(1).max(255);

/** Seconds: none, or a millisecond at least. */
function delayUpTo(maxS: number): z.ZodOptional<z.ZodNumber> {
  return z
    .number()
    .min(0)
    .max(maxS)
    .refine((seconds) => seconds === 0 || seconds >= 0.001, 'nothing, or at least 0.001')
    .optional();
}

export const retryPolicy = z.strictObject({
  /** Starts in all, the first included. */
  max_attempts: z.int().min(1).max(100).optional(),
  /** Upper bound of the first delay, seconds; each further one doubles it. */
  initial_s: delayUpTo(3600),
  /** Upper bound of any delay, seconds. */
  max_s: delayUpTo(86_400),
});

function fewPairs(max: number): z.ZodOptional<z.ZodRecord<z.ZodString, z.ZodString>> {
  return z
    .record(z.string().min(1).max(63), z.string().max(255))
    .refine((pairs) => Object.keys(pairs).length <= max, `at most ${max.toString()} of them`)
    .optional();
}

/** What `POST /api/v1/tasks` takes. */
export const submission = z.strictObject({
  source: label.optional(),
  tool: name,
  action: name,
  payload: z.record(z.string(), z.unknown()).optional(),
  required_role: name.optional(),
  priority: z.int().min(0).max(100).optional(),
  run_at: timestamp.optional(),
  expires_at: timestamp.optional(),
  timeout_s: z.int().min(1).max(timeoutMaxS).optional(),
  retry: retryPolicy.optional(),
  affinity: label.optional(),
  constraints: fewPairs(16),
  tags: z.array(z.string().min(1).max(63)).max(32).optional(),
  labels: fewPairs(64),
  traceparent: z
    .string()
    .regex(/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/, 'a W3C traceparent of version 00')
    .optional(),
});
export type Submission = z.infer<typeof submission>;

export const submissionBatch = z.strictObject({
  tasks: z.array(z.unknown()).min(1).max(batchMaxTasks),
  atomic: z.boolean().optional(),
});

const nullableTime = z.iso.datetime().nullable();

/** A task as it is answered: the submission with its defaults, and what became of it. */
export const task = z.object({
  task_id: z.uuid(),
  state: z.enum([...liveStates, ...endStates]),
  /** Why it is in this state, where the state alone does not say. */
  reason: z.string().nullable(),
  source: z.string(),
  tool: z.string(),
  action: z.string(),
  payload: z.record(z.string(), z.unknown()),
  required_role: z.string(),
  priority: z.int(),
  run_at: nullableTime,
  expires_at: nullableTime,
  timeout_s: z.int(),
  retry: z.object({ max_attempts: z.int(), initial_s: z.number(), max_s: z.number() }),
  affinity: z.string().nullable(),
  constraints: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  traceparent: z.string().nullable(),
  requested_by: z.string(),
  effects: z.enum(['none', 'idempotent', 'destructive']),
  task_sha256: z.string(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
  attempt: z.int(),
  tries: z.int(),
  node_id: z.uuid().nullable(),
  manifest_sha256: z.string().nullable(),
  started_at: nullableTime,
  ended_at: nullableTime,
});
export type Task = z.infer<typeof task>;
