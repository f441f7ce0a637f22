/** The manifest: a batch of orders for one node, signed as one compact JWS (formats.md rule 22). */

import { canonicalize, type CanonicalValue } from './canonical-json.ts';
import { isSha256Hex, sha256Hex } from './hash.ts';
import { isToolDigest, isUuid } from './ids.ts';
import { verifyCompactJws, type CompactJws } from './jws.ts';
import { ProofError, prove } from './proof-error.ts';
import type { PublicKey } from './public-key.ts';
import { checkShape, isAttempt, isCount, isText, type MemberCheck } from './shape.ts';

/** What a run may change: nothing, the same however often, or something that must not happen twice. */
export type Effects = 'none' | 'idempotent' | 'destructive';

/** What orders of one manifest have in common. */
export interface Grant {
  tool: string;
  tool_digest: string;
  action: string;
  effects: Effects;
  timeout_s: number;
  /** Name of the scope that bounds the targets; null where the requester has none. */
  scope: string | null;
  requested_by: string;
  required_role: string;
  approvals: { by: string; decision_id: string }[];
}

export interface Order {
  task_id: string;
  attempt: number;
  /** Index into `grants`. */
  grant: number;
  payload_sha256: string;
  traceparent?: string;
}

/** Times are integer seconds; `nbf` = `iat`, `exp` = `iat` + 60. */
export interface ManifestPayload {
  iss: string;
  aud: string;
  jti: string;
  iat: number;
  nbf: number;
  exp: number;
  grants: Grant[];
  orders: Order[];
}

export const manifestLifetimeS = 60;
/** Clocks of orchestrator and node may differ by so much. */
export const clockSkewS = 30;
export const ordersMax = 500;

/**
 * The hash of what an approver approves, an order grants and a node runs: over the canonical JSON of the grant's
 * members without approvals, and the payload's hash (formats.md rule 10).
 */
export function taskSha256(grant: Omit<Grant, 'approvals'>, payloadSha256: string): string {
  return taskHasher(grant)(payloadSha256);
}

/** `taskSha256` for many payloads under one grant; of equal payloads that come one after the other, it is made once. */
export function taskHasher(grant: Omit<Grant, 'approvals'>): (payloadSha256: string) => string {
  const text = canonicalize({
    tool: grant.tool,
    tool_digest: grant.tool_digest,
    action: grant.action,
    effects: grant.effects,
    timeout_s: grant.timeout_s,
    scope: grant.scope,
    requested_by: grant.requested_by,
    required_role: grant.required_role,
    payload_sha256: '',
  });
  // Inside of strings quotes are escaped: this is the member and nothing else.
  const member = '"payload_sha256":"';
  const at = text.indexOf(`${member}"`) + member.length;
  const before = text.slice(0, at);
  const after = text.slice(at);
  let last: { payloadSha256: string; taskSha256: string } | undefined;
  return (payloadSha256) => {
    if (last?.payloadSha256 !== payloadSha256) {
      last = { payloadSha256, taskSha256: sha256Hex(before + payloadSha256 + after) };
    }
    return last.taskSha256;
  };
}

/** Everything the node knows when it decides about a manifest. */
export interface ManifestExpectation {
  /** Origin of the log. */
  issuer: string;
  /** The node's own id. */
  audience: string;
  nowS: number;
  /** Keys trusted for manifests and not retired. */
  findKey: (kid: string) => PublicKey | undefined;
  /** Whether this `jti` was taken before. */
  isSeen: (jti: string) => boolean;
}

/**
 * Decides whether a manifest may be believed, in the order of architecture.md §4. Throws a ProofError whose code is
 * the reason to record. Payload hashes, attempts, tools and targets are then checked for each order by the caller.
 */
export function verifyManifest(jws: CompactJws, expectation: ManifestExpectation): ManifestPayload {
  const payload = checkManifestPayload(verifyCompactJws(jws, 'writ-manifest+jws', expectation.findKey).payload);
  prove(payload.iss === expectation.issuer, 'bad_issuer', 'issued by another log');
  prove(payload.aud === expectation.audience, 'bad_audience', 'addressed to another node');
  prove(payload.nbf <= expectation.nowS + clockSkewS, 'not_yet_valid', 'not valid yet');
  prove(expectation.nowS < payload.exp + clockSkewS, 'expired', 'expired');
  prove(!expectation.isSeen(payload.jti), 'replayed', 'taken before');
  return payload;
}

const grantMembers: Record<keyof Grant, MemberCheck> = {
  tool: { holds: (v) => isText(v, 63), expected: 'a name' },
  tool_digest: { holds: isToolDigest, expected: 'sha256: and 64 hex digits' },
  action: { holds: (v) => isText(v, 63), expected: 'a name' },
  effects: { holds: (v) => v === 'none' || v === 'idempotent' || v === 'destructive', expected: 'a kind of effect' },
  timeout_s: { holds: (v) => isCount(v, 1), expected: 'a number of seconds' },
  scope: { holds: (v) => v === null || isText(v, 255), expected: 'a name or null' },
  requested_by: { holds: (v) => isText(v, 255), expected: 'a name' },
  required_role: { holds: (v) => isText(v, 255), expected: 'a name' },
  approvals: { holds: Array.isArray, expected: 'a list' },
};

const approvalMembers: Record<string, MemberCheck> = {
  by: { holds: (v) => isText(v, 255), expected: 'a name' },
  decision_id: { holds: isUuid, expected: 'a UUID' },
};

const traceparent = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

const orderMembers: Record<keyof Order, MemberCheck> = {
  task_id: { holds: isUuid, expected: 'a UUID' },
  attempt: { holds: isAttempt, expected: 'a number from 1' },
  grant: { holds: (v) => isCount(v), expected: 'an index' },
  payload_sha256: { holds: isSha256Hex, expected: '64 hex digits' },
  traceparent: {
    holds: (v) => typeof v === 'string' && traceparent.test(v),
    expected: 'a trace context',
    optional: true,
  },
};

const payloadMembers: Record<keyof ManifestPayload, MemberCheck> = {
  iss: { holds: (v) => isText(v, 255), expected: 'an origin' },
  aud: { holds: isUuid, expected: 'a UUID' },
  jti: { holds: isUuid, expected: 'a UUID' },
  iat: { holds: (v) => isCount(v), expected: 'a number of seconds' },
  nbf: { holds: (v) => isCount(v), expected: 'a number of seconds' },
  exp: { holds: (v) => isCount(v), expected: 'a number of seconds' },
  grants: { holds: (v) => Array.isArray(v) && v.length >= 1 && v.length <= ordersMax, expected: 'a list of 1 to 500' },
  orders: { holds: (v) => Array.isArray(v) && v.length >= 1 && v.length <= ordersMax, expected: 'a list of 1 to 500' },
};

/** Checks the form of a manifest's payload: members, their forms, and the rules between them. */
export function checkManifestPayload(value: CanonicalValue): ManifestPayload {
  checkShape(value, payloadMembers, 'manifest');
  const payload = value as unknown as ManifestPayload;
  prove(payload.nbf === payload.iat, 'bad_payload', 'nbf differs from iat');
  prove(payload.exp === payload.iat + manifestLifetimeS, 'bad_payload', 'exp is not iat + 60');
  const grants = new Set<string>();
  for (const grant of payload.grants) {
    checkShape(grant, grantMembers, 'grant');
    for (const approval of grant.approvals) checkShape(approval, approvalMembers, 'approval');
    grants.add(canonicalize(grant as unknown as CanonicalValue));
  }
  prove(grants.size === payload.grants.length, 'bad_payload', 'two grants are equal');
  checkOrders(payload);
  return payload;
}

function checkOrders(payload: ManifestPayload): void {
  const used = new Set<number>();
  const tasks = new Set<string>();
  for (const order of payload.orders) {
    checkShape(order, orderMembers, 'order');
    if (order.grant >= payload.grants.length) throw new ProofError('bad_payload', 'an order without a grant');
    used.add(order.grant);
    tasks.add(order.task_id);
  }
  prove(used.size === payload.grants.length, 'bad_payload', 'a grant that no order uses');
  prove(tasks.size === payload.orders.length, 'bad_payload', 'two orders for one task');
}
