/** Schemas of answers, for the documents and for clients; answers are not checked against them at run time. */

import { z } from 'zod';
import { task } from '../../domain/task.ts';
import { taskStates } from '../../domain/task-state.ts';
import { explainCodes } from '../../tasks/explain.ts';

const nullableText = z.string().nullable();
const nullableTime = z.iso.datetime().nullable();
const nextCursor = z.string().nullable().describe('Where the list goes on; null at its end');
const attemptError = z.object({ code: z.string(), message: z.string() }).nullable();

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  instance: z.string().optional(),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});

export { task };

export const taskList = z.object({ tasks: z.array(task), next_cursor: nextCursor });

export const batchResults = z.object({ results: z.array(z.union([z.object({ task }), z.object({ error: problem })])) });

const planned = z.object({
  decision: z.literal('accept'),
  task_sha256: z.string(),
  claims: z.object({
    grant: z.object({
      tool: z.string(),
      tool_digest: z.string(),
      action: z.string(),
      effects: z.string(),
      timeout_s: z.int(),
      scope: nullableText,
      requested_by: z.string(),
      required_role: z.string(),
    }),
    payload_sha256: z.string(),
  }),
  priority: z.int(),
  not_before: nullableTime,
  expires_at: nullableTime,
  candidate_nodes: z.array(z.uuid()),
  free_nodes: z.array(z.uuid()),
});
export const planResults = z.object({
  results: z.array(z.union([planned, z.object({ decision: z.literal('refuse'), error: problem })])),
});

export const taskResult = z.object({
  task_id: z.uuid(),
  state: z.enum(taskStates),
  status: z.string(),
  reason: nullableText,
  attempt: z.int(),
  started_at: nullableTime,
  ended_at: z.iso.datetime(),
  output: z.unknown().describe('As `output_encoding` says: a JSON value, a text, or base64 of other bytes'),
  output_encoding: z.enum(['json', 'text', 'base64']).nullable(),
  output_sha256: nullableText.describe('Of the whole output, which may be longer than what is kept'),
  output_bytes: z.int().nullable(),
  error: attemptError,
  metadata: z.unknown(),
});

export const attemptList = z.object({
  attempts: z.array(
    z.object({
      attempt: z.int(),
      status: nullableText.describe('Null while a node has it in hand'),
      reason: nullableText,
      node_id: z.uuid().nullable(),
      manifest_sha256: nullableText,
      receipt_sha256: nullableText,
      issued_at: nullableTime,
      started_at: nullableTime,
      ended_at: nullableTime,
      output_sha256: nullableText,
      output_bytes: z.int().nullable(),
      error: attemptError,
    }),
  ),
});

export const timeline = z.object({
  timeline: z.array(
    z.object({
      seq: z.int(),
      ts: z.iso.datetime(),
      type: z.string(),
      outcome: z.string(),
      reason: nullableText,
      actor: nullableText,
      attempt: z.int().nullable(),
      status: nullableText,
      manifest_sha256: nullableText,
      receipt_sha256: nullableText,
      note: nullableText,
      request_id: nullableText,
    }),
  ),
});

export const explanation = z.object({
  task_id: z.uuid(),
  state: z.enum(taskStates),
  reasons: z.array(
    z.object({
      code: z.enum(explainCodes),
      detail: z.string(),
      node_id: z.uuid().optional(),
      until: z.iso.datetime().optional(),
      ahead: z.int().optional(),
      needs: z
        .object({ tool: z.string(), digest: nullableText, constraints: z.record(z.string(), z.string()) })
        .optional(),
    }),
  ),
  candidate_nodes: z.int().nullable(),
});

export const deadLetterList = z.object({
  dead_letters: z.array(z.object({ task, error: attemptError })),
  next_cursor: nextCursor,
});

export const toolView = z.object({
  tool: z.string(),
  version: z.string(),
  digest: z.string(),
  description: z.string(),
  actions: z.array(
    z.object({
      action: z.string(),
      description: z.string(),
      parameters: z.record(z.string(), z.unknown()).describe('JSON Schema of the payload'),
      required_role: z.string(),
      effects: z.enum(['none', 'idempotent', 'destructive']),
      timeout_s: z.int(),
      approval: z.null(),
    }),
  ),
});
export const toolList = z.object({ tools: z.array(toolView) });

const auditRecord = z.record(z.string(), z.unknown()).describe('A record as docs/audit-format.md says');
export const recordList = z.object({ records: z.array(auditRecord), next_cursor: nextCursor });
export const oneRecord = z.object({
  record: auditRecord,
  line: z.string().describe('The exact bytes of the record'),
  leaf: z.string().describe('Leaf hash, base64'),
});
export const proofList = z.object({
  proofs: z.array(z.object({ seq: z.int(), type: z.string(), proof: z.string().nullable() })),
});
export const consistencyProof = z.object({ from: z.int(), to: z.int(), proof: z.array(z.string()) });

export const whoami = z.object({
  id: z.string(),
  kind: z.string(),
  roles: z.array(z.string()),
  permissions: z.array(z.string()),
  scope: nullableText,
  credential_id: z.uuid(),
  expires_at: nullableTime,
});

const tokenMembers = {
  token_id: z.uuid(),
  prefix: z.string(),
  name: z.string(),
  kind: z.string(),
  roles: z.array(z.string()),
  scope: nullableText,
  networks: z.array(z.string()),
  created_by: z.string(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  revoked_at: nullableTime,
  last_used_at: nullableTime,
};
export const tokenList = z.object({ tokens: z.array(z.object(tokenMembers)), next_cursor: nextCursor });
export const createdToken = z.object({
  ...tokenMembers,
  token: nullableText.describe('Shown this once; null when the answer is replayed for an Idempotency-Key'),
});

export const scopeMembers = z.object({
  name: z.string(),
  tools: z.array(z.string()),
  targets: z.array(z.string()),
  not_before: z.iso.datetime({ offset: true }).optional(),
  not_after: z.iso.datetime({ offset: true }).optional(),
});
export const scopeList = z.object({ scopes: z.array(scopeMembers) });

export const key = z.object({
  kid: z.string().describe('RFC 7638 thumbprint'),
  version: z.int(),
  trusted_from: z.iso.datetime(),
  signs_from: z.iso.datetime(),
  trusted_until: z.iso.datetime().nullable(),
  state: z.enum(['next', 'signs', 'former', 'retired']),
});

export const keyList = z.object({ keys: z.array(key) });

export const nodeList = z.object({
  nodes: z.array(
    z.object({
      id: z.uuid(),
      name: z.string(),
      status: z.string(),
      slots: z.int(),
      labels: z.record(z.string(), z.string()),
      capabilities: z.record(z.string(), z.string()),
      metrics: z.record(z.string(), z.number()).nullable(),
      registered_at: z.iso.datetime(),
      last_heartbeat: nullableTime,
      lease_until: z.iso.datetime(),
    }),
  ),
  total: z.int(),
  next_cursor: nextCursor,
});

export const health = z.object({ status: z.literal('ok') });
export const readiness = z.object({
  ready: z.boolean(),
  parts: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() })),
});
export const jwkSet = z.object({ keys: z.array(z.record(z.string(), z.unknown())) });
export const anyObject = z.record(z.string(), z.unknown());
