/** Lets a node join by a single-use token: it gets its id, its credential, and whom to believe. */

import { parseApiKey } from '../aaa/api-key.ts';
import { AppError } from '../domain/error.ts';
import { newId, type NodeId } from '../domain/ids.ts';
import { joinRequest, type JoinAnswer, type JoinRequest } from '../domain/node.ts';
import { nodeQueue, receiptsQueue } from '../domain/queues.ts';
import { trustKey } from '../ledger/trust.ts';
import type { Transaction } from '../platform/postgres/pool.ts';
import { importPublicKey, type PublicKey } from '../proof/public-key.ts';
import { ProofError } from '../proof/proof-error.ts';
import { fieldErrors } from '../tasks/plan.ts';
import { newCredential } from './credential.ts';
import type { FleetContext } from './fleet-context.ts';
import { insertNode, isKeyKnown, lockJoinToken, replaceCredential, useJoinToken, type JoinToken } from './fleet-sql.ts';
import { currentConfig } from './node-config.ts';

/** Slots of a node that does not say how many it has. */
const slotsDefault = 8;

/**
 * Registers a node. The same token with the same key answers again, with a new credential in place of the one that was lost, until
 * the first heartbeat; with another key it is refused. Joins by one token wait for each other: one wins. Where a certificate is asked
 * for and cannot be had now, the join fails `unavailable` and can be repeated in the same way.
 */
export async function joinFleet(
  token: string,
  body: unknown,
  requestId: string,
  context: FleetContext,
): Promise<JoinAnswer> {
  const parsed = parseApiKey(token);
  if (parsed?.kind !== 'join') throw unauthenticated();
  const request = parseRequest(body);
  const key = parseKey(request);
  const credential = newCredential();
  const nodeId = await context.database.transaction(async (tx) => {
    const join = await lockJoinToken(tx, parsed.sha256);
    if (join === undefined) throw unauthenticated();
    if (join.used_by === null && (await isKeyKnown(tx, key.kid))) {
      throw new AppError('conflict', 'This receipt key is another node’s. Make a new one.', {
        reason: 'receipt_key_known',
      });
    }
    if (join.used_by === null) {
      return addNode(tx, { join, request, key, credentialSha256: credential.sha256, requestId }, context);
    }
    if (await replaceCredential(tx, join.used_by, key.kid, credential.sha256)) return join.used_by;
    throw new AppError('conflict', 'This join token was used by another node. Make a new one.', {
      reason: 'join_token_used',
    });
  });
  const certificate =
    request.csr === undefined || context.certify === undefined ? undefined : await context.certify(request.csr, nodeId);
  // While the broker is away, the queue is declared when it is back.
  await context.declareNode(nodeId).catch(() => undefined);
  await context.registry.loadNode(nodeId);
  context.onNodesChanged();
  const { config, version } = await currentConfig(context.database);
  return {
    node_id: nodeId,
    credential: credential.text,
    ...(certificate === undefined ? {} : { certificate }),
    heartbeat_interval_s: context.heartbeatIntervalS,
    config,
    config_version: version,
    trust: await context.trust(),
    broker: { queue: nodeQueue(nodeId), receipts: receiptsQueue, ...context.brokerAccess },
  };
}

async function addNode(
  tx: Transaction,
  joining: { join: JoinToken; request: JoinRequest; key: PublicKey; credentialSha256: Buffer; requestId: string },
  context: FleetContext,
): Promise<string> {
  const { join, request, key, credentialSha256, requestId } = joining;
  const nodeId = newId<NodeId>();
  const capabilities = Object.fromEntries(request.config.capabilities.map(({ tool, digest }) => [tool, digest]));
  const name = request.name ?? join.name;
  await insertNode(tx, {
    node_id: nodeId,
    name,
    slots: request.slots ?? slotsDefault,
    labels: request.labels ?? {},
    capabilities,
    kid: key.kid,
    jwk: key.jwk,
    credential_sha256: credentialSha256,
    join_token: join.token_id,
    lease_s: context.leaseS,
    credential_lifetime_s: context.credentialLifetimeS,
  });
  await useJoinToken(tx, join.token_id, nodeId);
  await context.audit.append(tx, [
    {
      type: 'node.register',
      outcome: 'success',
      actor: { id: join.name, kind: 'node', auth: { method: 'join_token', credential_id: join.token_id } },
      target: { kind: 'node', id: nodeId },
      data: { name, kid: key.kid, tools: Object.keys(capabilities).sort() },
      request_id: requestId,
    },
  ]);
  await trustKey(tx, context.audit, {
    kid: key.kid,
    jwk: key.jwk,
    use: 'node',
    nodeId,
    from: new Date(context.clock.now()),
  });
  return nodeId;
}

function parseRequest(body: unknown): JoinRequest {
  const parsed = joinRequest.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new AppError('invalid', 'The join request is not of the documented form.', {
    reason: 'invalid_join_request',
    errors: fieldErrors(parsed.error),
  });
}

function parseKey(request: JoinRequest): PublicKey {
  try {
    return importPublicKey(request.receipt_key);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    throw new AppError('invalid', `The receipt key cannot be used: ${error.message}.`, {
      reason: 'invalid_receipt_key',
    });
  }
}

function unauthenticated(): AppError {
  return new AppError('unauthenticated', 'The join token is wrong, used up, expired or revoked.', {
    reason: 'unauthenticated',
  });
}
