/** Decides about manifests that have arrived: what is believed is journalled, then run; the rest is refused, with reasons. */

import type { Delivery } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { decodeFrame } from '../domain/frame.ts';
import { privateScope } from '../domain/principal.ts';
import type { Scope } from '../domain/scope.ts';
import { RepeatedHash } from '../proof/hash.ts';
import { verifyManifest, type Grant, type ManifestPayload, type Order } from '../proof/manifest.ts';
import { ProofError, prove } from '../proof/proof-error.ts';
import type { Catalog, CatalogAction } from '../tools/catalog.ts';
import { decideScope, unboundedScope } from '../tools/scope.ts';
import type { Journal } from './journal.ts';
import type { Trust } from './trust.ts';

const payloadHash = new RepeatedHash();

/** An order that may run. */
export interface AcceptedOrder {
  task_id: string;
  attempt: number;
  jti: string;
  exp: number;
  grant: Grant;
  action: CatalogAction;
  payload: Buffer;
  scope: Scope | undefined;
  allowPrivate: boolean;
  traceparent: string | undefined;
}

export interface RefusedOrder {
  task_id: string;
  attempt: number;
  reason: string;
  message: string;
}

export interface OpenManifest {
  payload: ManifestPayload;
  accepted: AcceptedOrder[];
  refused: RefusedOrder[];
}

export interface IntakeContext {
  nodeId: string;
  trust: Trust;
  journal: Pick<Journal, 'isSeenJti' | 'highestAttempt'>;
  catalog: Catalog;
  scopes: ReadonlyMap<string, Scope>;
  clock: Clock;
}

/**
 * Opens a message of this node's queue, in the order of architecture.md §4. Throws a ProofError where the manifest as a whole is
 * not believed; the message is controlled by whoever may write to the queue.
 */
export function openManifest(message: Pick<Delivery, 'body'>, context: IntakeContext): OpenManifest {
  const { jws, blobs } = decode(message.body);
  const payload = verifyManifest(jws, {
    issuer: context.trust.origin,
    audience: context.nodeId,
    nowS: Math.floor(context.clock.now() / 1000),
    findKey: context.trust.findKey,
    isSeen: (jti) => context.journal.isSeenJti(jti),
  });
  prove(blobs.length === payload.orders.length, 'bad_frame', 'another number of payloads than orders');
  const opened: OpenManifest = { payload, accepted: [], refused: [] };
  payload.orders.forEach((order, i) => {
    const { task_id, attempt } = order;
    try {
      opened.accepted.push(acceptOrder(order, payload, blobs[i] ?? null, context));
    } catch (error) {
      if (!(error instanceof ProofError)) throw error;
      opened.refused.push({ task_id, attempt, reason: error.code, message: error.message });
    }
  });
  return opened;
}

/** Opens a manifest again that was believed when it was journalled: only what is still in hand is of interest. */
export function reopenManifest(body: Buffer, context: IntakeContext): OpenManifest {
  return openManifest({ body }, { ...context, journal: { isSeenJti: () => false, highestAttempt: () => 0 } });
}

function decode(body: Buffer): ReturnType<typeof decodeFrame> {
  try {
    return decodeFrame(body);
  } catch (error) {
    if (error instanceof AppError) throw new ProofError('bad_frame', error.message);
    throw error;
  }
}

function acceptOrder(
  order: Order,
  manifest: ManifestPayload,
  payload: Buffer | null,
  context: IntakeContext,
): AcceptedOrder {
  const grant = manifest.grants[order.grant];
  if (grant === undefined) throw new ProofError('bad_payload', 'an order without a grant');
  prove(
    payload !== null && payloadHash.hex(payload) === order.payload_sha256,
    'payload_swapped',
    'another payload than was signed',
  );
  prove(
    order.attempt > context.journal.highestAttempt(order.task_id),
    'stale_attempt',
    'a later attempt was taken before',
  );
  const action = context.catalog.find(grant.tool, grant.action);
  if (action === undefined) throw new ProofError('unknown_action', 'this node does not have the action');
  prove(action.digest === grant.tool_digest, 'other_digest', 'this node has another version of the tool');
  prove(action.effects === grant.effects, 'other_effects', 'the catalog of this node names other effects');
  const bounds = boundsOf(grant, context.scopes);
  checkTargets(action, payload, bounds, context.clock);
  return {
    task_id: order.task_id,
    attempt: order.attempt,
    jti: manifest.jti,
    exp: manifest.exp,
    grant,
    action,
    payload,
    scope: bounds.scope,
    allowPrivate: bounds.allowPrivate,
    traceparent: order.traceparent,
  };
}

type Bounds = Pick<AcceptedOrder, 'scope' | 'allowPrivate'>;

function boundsOf(grant: Grant, scopes: ReadonlyMap<string, Scope>): Bounds {
  if (grant.scope === null) return { scope: undefined, allowPrivate: false };
  if (grant.scope === privateScope) return { scope: undefined, allowPrivate: true };
  const scope = scopes.get(grant.scope);
  if (scope === undefined) throw new ProofError('unknown_scope', 'this node does not know the scope');
  return { scope, allowPrivate: false };
}

function checkTargets(action: CatalogAction, payload: Buffer, bounds: Bounds, clock: Clock): void {
  let parameters: unknown;
  try {
    parameters = JSON.parse(payload.toString('utf8'));
  } catch {
    throw new ProofError('payload_invalid', 'the payload is not JSON');
  }
  const decision = decideScope(bounds.scope ?? unboundedScope, {
    tool: action.tool,
    action: action.action,
    targets: action.targets(parameters),
    nowMs: clock.now(),
    allow_private: bounds.allowPrivate,
  });
  if (!decision.allowed) throw new ProofError(decision.rule, decision.detail);
}
