/** For each type of event: what it says, what its attributes mean, and a record that it is made of. */
import type { EventType } from '../src/domain/event.ts';
import type { AuditRecord, RecordActor, RecordBody } from '../src/proof/record.ts';

/** JSON Schema of one attribute, with its meaning. */
type AttributeSchema = { description: string } & Record<string, unknown>;

/** What the documents say of one type. */
export interface EventDescription {
  /** One sentence. */
  summary: string;
  /** Record types that it is made of. */
  records: readonly string[];
  /** What the target is. */
  target: string;
  /** What `status` says. */
  status: string;
  /** Beside those that every event has; absent where the record has no such member. */
  attributes: Readonly<Record<string, AttributeSchema>>;
  example: AuditRecord;
}

const taskIds = ['019a3f00-0001-7000-8000-000000000001', '019a3f00-0001-7000-8000-000000000002'];
const nodeId = '019a3f00-0002-7000-8000-000000000001';
const tokenId = '019a3f00-0003-7000-8000-000000000001';
const manifestJti = '019a3f00-0004-7000-8000-000000000001';
const requestId = '019a3f00-0005-7000-8000-000000000001';
const kid = 'WqirCqyD8BfNr-j_RZy56GLhnelYAJ6Tp47z95p_fvc';
const sha256 = 'e339a929f9f25dfb46165a5af46a0f284d5751aa78d7ec4d09798431f11f37c0';
const person: RecordActor = { id: 'alice', kind: 'person', auth: { method: 'api_key', credential_id: tokenId } };
const writ: RecordActor = { id: 'writ', kind: 'system' };
const node: RecordActor = { id: nodeId, kind: 'node' };
const tasks = { kind: 'task', ids: taskIds.slice(0, 1) };
const ofTask = { kind: 'task', id: taskIds[0] ?? '' };

const attempt: AttributeSchema = { type: 'integer', minimum: 1, description: 'Number of the attempt that ended.' };
const nodeOf: AttributeSchema = { type: 'string', format: 'uuid', description: 'Id of the node.' };
const action: AttributeSchema = {
  type: 'string',
  description: '`tool.action`, where all tasks of the record share one.',
};

function record(
  seq: number,
  type: string,
  rest: Partial<Omit<RecordBody, 'v' | 'log' | 'id' | 'type'>> = {},
): AuditRecord {
  const id = `019a3f00-0006-7000-8000-${seq.toString().padStart(12, '0')}`;
  const ts = `2026-05-01T09:30:${(seq % 60).toString().padStart(2, '0')}.000Z`;
  const prev = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';
  return { v: 1, log: 'writ.local/writ/219522660a827e3b', id, seq, prev, ts, type, outcome: 'success', ...rest };
}

/** All types; what is missing here does not compile. */
export const eventDescriptions: Readonly<Record<EventType, EventDescription>> = {
  'task.submitted': {
    summary: 'A task was accepted.',
    records: ['task.submit'],
    target: 'the task',
    status: '`allow`',
    attributes: { action },
    example: record(9, 'task.submit', {
      outcome: 'allow',
      actor: person,
      target: { kind: 'task', ids: taskIds },
      data: { tasks_sha256: sha256, actions: ['tcp.connect'] },
      request_id: requestId,
    }),
  },
  'task.dispatched': {
    summary: 'An order for the task was signed and stored. Goes out only where `TELEMETRY_EVENT_TYPES` names it.',
    records: ['manifest.issue'],
    target: 'the task',
    status: '`success`',
    attributes: {
      node_id: nodeOf,
      manifest_jti: { type: 'string', format: 'uuid', description: 'Id of the manifest that holds the order.' },
    },
    example: record(10, 'manifest.issue', {
      actor: writ,
      target: tasks,
      data: { manifest_sha256: sha256, jti: manifestJti, node_id: nodeId },
    }),
  },
  'task.finished': {
    summary: 'A node answered the task’s order and that ended the task.',
    records: ['receipt.accept'],
    target: 'the task',
    status:
      'how the attempt ended: `succeeded`, `failed`, `cancelled`, `timed_out`, `interrupted`, `not_started`, `refused`',
    attributes: { attempt, node_id: nodeOf },
    example: record(11, 'receipt.accept', {
      actor: node,
      target: { kind: 'node', id: nodeId },
      data: { receipt_sha256: sha256, results: [[taskIds[0] ?? '', 1, 'succeeded']] },
    }),
  },
  'task.retried': {
    summary: 'A node answered the task’s order and the task goes on: it is tried again, or was handed back.',
    records: ['receipt.accept'],
    target: 'the task',
    status: 'how the attempt ended, as of `task.finished`',
    attributes: { attempt, node_id: nodeOf },
    example: record(12, 'receipt.accept', {
      actor: node,
      target: { kind: 'node', id: nodeId },
      data: {
        receipt_sha256: sha256,
        results: [[taskIds[0] ?? '', 1, 'failed']],
        retried: [taskIds[0] ?? ''],
      },
    }),
  },
  'task.cancelled': {
    summary:
      'A task was cancelled, or its node was asked to stop it; with status `deny`, its requester’s standing did not hold any more when its order was to be signed.',
    records: ['task.cancel'],
    target: 'the task',
    status: '`success` or `deny`',
    attributes: {},
    example: record(13, 'task.cancel', {
      actor: person,
      target: tasks,
      data: { requested: false, reason: 'wrong target' },
      request_id: requestId,
    }),
  },
  'task.expired': {
    summary: 'A task was not started before its `expires_at`.',
    records: ['task.expire'],
    target: 'the task',
    status: '`failure`',
    attributes: {},
    example: record(14, 'task.expire', {
      outcome: 'failure',
      reason: 'not_started_in_time',
      actor: writ,
      target: tasks,
    }),
  },
  'task.lost': {
    summary:
      'An attempt was given up that no node will answer. What may be repeated is queued again, what may not is in doubt.',
    records: ['attempt.lost'],
    target: 'the task',
    status: '`failure`',
    attributes: {},
    example: record(15, 'attempt.lost', {
      outcome: 'failure',
      reason: 'lease_over',
      target: tasks,
      data: { attempts: [[taskIds[0] ?? '', 1]] },
    }),
  },
  'task.redriven': {
    summary: 'A task that had failed, expired or been cancelled was queued again.',
    records: ['task.redrive'],
    target: 'the task',
    status: '`success`',
    attributes: {},
    example: record(16, 'task.redrive', {
      actor: person,
      target: ofTask,
      data: { from_state: 'failed', attempt: 3, reason: 'the host is back' },
      request_id: requestId,
    }),
  },
  'task.settled': {
    summary: 'A person said what became of a task in doubt.',
    records: ['task.settle'],
    target: 'the task',
    status: '`success`',
    attributes: {},
    example: record(17, 'task.settle', {
      actor: person,
      target: ofTask,
      data: { as: 'succeeded', attempt: 1, reason: 'the host has the change' },
      request_id: requestId,
    }),
  },
  'auth.denied': {
    summary: 'A call was denied: authentication, permission, role, scope, or rate.',
    records: ['auth.deny', 'task.submit'],
    target: 'what the path of the call names, if anything',
    status: '`deny`',
    attributes: {
      stands_for: {
        type: 'integer',
        minimum: 1,
        description: 'So many further calls of this kind the record stands for.',
      },
    },
    example: record(18, 'auth.deny', {
      outcome: 'deny',
      reason: 'expired_token',
      actor: { id: 'alice', kind: 'unknown', ip: '192.0.2.7' },
      request_id: requestId,
    }),
  },
  'token.changed': {
    summary: 'A credential was made or revoked, or making one was denied.',
    records: ['token.create', 'token.revoke'],
    target: 'the token; none where it was denied',
    status: '`success` or `deny`',
    attributes: {},
    example: record(19, 'token.revoke', {
      actor: person,
      target: { kind: 'token', id: tokenId },
      request_id: requestId,
    }),
  },
  'scope.changed': {
    summary: 'A scope was made or replaced, or that was denied.',
    records: ['scope.write'],
    target: 'the scope; none where it was denied',
    status: '`success` or `deny`',
    attributes: {},
    example: record(20, 'scope.write', {
      actor: person,
      target: { kind: 'scope', id: 'engagement-7' },
      data: { definition_sha256: sha256, tools: ['tcp.*'], targets: ['198.51.100.0/24'] },
      request_id: requestId,
    }),
  },
  'node.registered': {
    summary: 'A node joined.',
    records: ['node.register'],
    target: 'the node',
    status: '`success`',
    attributes: {},
    example: record(21, 'node.register', {
      actor: { id: 'scanner-1', kind: 'node' },
      target: { kind: 'node', id: nodeId },
      data: { name: 'scanner-1', kid, tools: ['dns', 'tcp'] },
      request_id: requestId,
    }),
  },
  'node.status_changed': {
    summary: 'A node fell silent: it gets nothing new until it is heard of again.',
    records: ['node.status'],
    target: 'the node',
    status: '`failure`',
    attributes: { node_status: { type: 'string', description: 'The status that it has now: `unhealthy`.' } },
    example: record(22, 'node.status', {
      outcome: 'failure',
      reason: 'heartbeats_missed',
      actor: writ,
      target: { kind: 'node', id: nodeId },
      data: { status: 'unhealthy' },
    }),
  },
  'key.trusted': {
    summary: 'From this record on the log believes a key: of the log, of manifests, or of a node.',
    records: ['key.trust'],
    target: 'the key',
    status: '`success`',
    attributes: {},
    example: record(23, 'key.trust', {
      target: { kind: 'key', id: kid },
      data: {
        kid,
        use: 'node',
        node_id: nodeId,
        jwk: { kty: 'OKP', crv: 'Ed25519', x: 'mG-WReJIN24sF1qejv_vatWAZ5pnRBZF5dwncjE_mnU' },
        from: '2026-05-01T09:30:23.000Z',
      },
    }),
  },
  'key.retired': {
    summary: 'A key is not believed for what is signed later. Nothing in this version retires keys.',
    records: ['key.retire'],
    target: 'the key',
    status: '`success`',
    attributes: {},
    example: record(24, 'key.retire', {
      target: { kind: 'key', id: kid },
      data: { kid, until: '2026-05-01T09:30:24.000Z' },
    }),
  },
  'manifest.refused': {
    summary: 'A node did not believe a message of its queue; `reason` is the check that failed.',
    records: ['manifest.refuse'],
    target: 'the node',
    status: '`deny`',
    attributes: {},
    example: record(25, 'manifest.refuse', {
      outcome: 'deny',
      reason: 'bad_signature',
      actor: node,
      target: { kind: 'node', id: nodeId },
      data: { manifest_sha256: sha256 },
    }),
  },
  'receipt.refused': {
    summary: 'A message of the receipts’ queue did not verify; `reason` is the check that failed.',
    records: ['receipt.refuse'],
    target: 'none',
    status: '`deny`',
    attributes: {},
    example: record(26, 'receipt.refuse', {
      outcome: 'deny',
      reason: 'unknown_key',
      data: { message_sha256: sha256, bytes: 1024 },
    }),
  },
  'receipt.late': {
    summary:
      'A node answered orders that were not its to answer any more; a task in doubt is settled by it, no other changes.',
    records: ['receipt.late'],
    target: 'the node',
    status: '`deny`',
    attributes: {
      results: {
        type: 'array',
        items: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }, { type: 'string' }] },
        description: '`[task_id, attempt, status]` of each such result.',
      },
    },
    example: record(27, 'receipt.late', {
      outcome: 'deny',
      reason: 'superseded',
      actor: node,
      target: { kind: 'node', id: nodeId },
      data: { receipt_sha256: sha256, results: [[taskIds[0] ?? '', 1, 'succeeded']] },
    }),
  },
  'audit.accessed': {
    summary: 'Somebody read records or proofs of the audit log, or exported it.',
    records: ['audit.read', 'audit.export'],
    target: 'none',
    status: '`allow`',
    attributes: {},
    example: record(28, 'audit.export', { outcome: 'allow', actor: person, data: { from: 0 }, request_id: requestId }),
  },
  'audit.heartbeat': {
    summary: 'Nothing was recorded for 60 s: the log goes on.',
    records: ['log.heartbeat'],
    target: 'none',
    status: '`success`',
    attributes: {},
    example: record(29, 'log.heartbeat', { actor: writ, data: { term: 1 } }),
  },
  'telemetry.undeliverable': {
    summary: 'The broker refused messages of a feed for good; they are kept in the table `dead_events`.',
    records: ['telemetry.dead'],
    target: 'none',
    status: '`failure`',
    attributes: {},
    example: record(30, 'telemetry.dead', {
      outcome: 'failure',
      reason: 'too_large',
      data: { feed: 'batches', messages: 1 },
    }),
  },
  'audit.recorded': {
    summary: 'A record of a type that has no event of its own, such as reading the list of credentials.',
    records: ['token.read', 'telemetry.resend'],
    target: 'none',
    status: 'the record’s outcome',
    attributes: { record_type: { type: 'string', description: 'Type of the record.' } },
    example: record(31, 'token.read', { outcome: 'allow', actor: person, data: {}, request_id: requestId }),
  },
};
