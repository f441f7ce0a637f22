/** What the API answers beside the nouns of the domain. Answers may hold further members. */

import type { Effects } from '../domain/tool.ts';
import type { Problem } from '../domain/problem.ts';
import type { Scope } from '../domain/scope.ts';
import type { Task } from '../domain/task.ts';
import type { EndState, TaskState } from '../domain/task-state.ts';

/** What became of one item of a batch, in the order of the submission. */
export type BatchOutcome = { task: Task } | { error: Problem };

/** What a dry run decided about one task. */
export type PlanDecision =
  | { decision: 'accept'; task_sha256: string; candidate_nodes: string[]; free_nodes: string[] }
  | { decision: 'refuse'; error: Problem };

export interface AttemptError {
  code: string;
  message: string;
}

/** What a task came to. `output` is the kept part; `output_bytes` and `output_sha256` are of the whole. */
export interface TaskResult {
  task_id: string;
  state: EndState;
  status: string;
  reason: string | null;
  attempt: number;
  started_at: string | null;
  ended_at: string;
  output: unknown;
  output_encoding: 'json' | 'text' | 'base64' | null;
  output_sha256: string | null;
  output_bytes: number | null;
  error: AttemptError | null;
  metadata: unknown;
}

/** One try at a task. `status` is null while its node has it in hand. */
export interface Attempt {
  attempt: number;
  status: string | null;
  reason: string | null;
  node_id: string | null;
  manifest_sha256: string | null;
  receipt_sha256: string | null;
  issued_at: string | null;
  started_at: string | null;
  ended_at: string | null;
  error: AttemptError | null;
}

/** One record of the audit log, cut to what concerns a task. */
export interface TimelineEntry {
  seq: number;
  ts: string;
  type: string;
  outcome: string;
  reason: string | null;
  actor: string | null;
  attempt: number | null;
  status: string | null;
  note: string | null;
}

/** Why a task is not running; `code` is of a closed list in docs/errors.md. */
export interface ExplainReason {
  code: string;
  detail: string;
  node_id?: string;
  until?: string;
  ahead?: number;
}

export interface Explanation {
  task_id: string;
  state: TaskState;
  reasons: ExplainReason[];
  candidate_nodes: number | null;
}

/** A task that failed for good, with its last error. */
export interface DeadLetter {
  task: Task;
  error: AttemptError | null;
}

export interface ToolAction {
  action: string;
  description: string;
  /** JSON Schema of the payload. */
  parameters: Record<string, unknown>;
  required_role: string;
  effects: Effects;
  timeout_s: number;
}

export interface Tool {
  tool: string;
  version: string;
  digest: string;
  description: string;
  actions: ToolAction[];
}

export interface WhoAmI {
  id: string;
  kind: string;
  roles: string[];
  permissions: string[];
  scope: string | null;
  credential_id: string;
  expires_at: string | null;
}

/** What `POST /api/v1/tokens` takes. `join` is for nodes. */
export interface TokenRequest {
  name: string;
  kind: 'pat' | 'svc' | 'join';
  roles: string[];
  scope?: string;
  networks?: string[];
  expires_in_s: number;
}

export interface Token {
  token_id: string;
  prefix: string;
  name: string;
  kind: string;
  roles: string[];
  scope: string | null;
  networks: string[];
  created_by: string;
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
  last_used_at: string | null;
}

/** A scope as the server keeps it. */
export type StoredScope = Scope & Record<string, unknown>;

/** A key that signs manifests. */
export interface ManifestKey {
  kid: string;
  version: number;
  trusted_from: string;
  signs_from: string;
  trusted_until: string | null;
  state: 'next' | 'signs' | 'former' | 'retired';
}

export interface Node {
  id: string;
  name: string;
  status: string;
  last_heartbeat: string | null;
  registered_at: string;
  labels: Record<string, string>;
  /** Digest of each tool that it has, by name. */
  capabilities: Record<string, string>;
  metrics: Record<string, number> | null;
  slots: number;
  lease_until: string;
}

/** A search of the audit log; members that are absent narrow nothing. */
export interface RecordQuery {
  seq?: number;
  type?: string;
  actor?: string;
  outcome?: string;
  target?: string;
  from?: string;
  to?: string;
}

/** A record of the audit log as a search answers it. */
export type AuditRecordAnswer = Record<string, unknown>;

/** Whether the server takes work, and the state of each part. */
export interface Readiness {
  ready: boolean;
  parts: Record<string, { ok: boolean; detail?: string }>;
}
