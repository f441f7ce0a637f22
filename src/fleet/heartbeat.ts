/** Answers heartbeats: renews the lease, settles what a node has in hand, and passes on what it must know. */

import { createHash } from 'node:crypto';
import { parseApiKey } from '../aaa/api-key.ts';
import { readOrdersOfNode, type OutstandingOrder } from '../collect/collect-sql.ts';
import { loseAttempts, markRunning, republish } from '../collect/recover.ts';
import { AppError } from '../domain/error.ts';
import { heartbeat, type HeartbeatAnswer, type HeldAttempt, type Heartbeat } from '../domain/node.ts';
import { nodeQueue } from '../domain/queues.ts';
import { isUuid } from '../proof/ids.ts';
import { clockSkewS } from '../proof/manifest.ts';
import { fieldErrors } from '../tasks/plan.ts';
import { renewCredential, takeCredential } from './credential.ts';
import type { FleetContext } from './fleet-context.ts';
import { readCancelRequests, renewLease, type RenewedLease } from './fleet-sql.ts';
import { currentConfig } from './node-config.ts';

/** Orders younger than this may still be on their way to the node while its heartbeat is on its way here. */
const onTheWayMs = 5000;
/** As above for the first heartbeat of a boot, whose node takes nothing before it has its answer. */
const onTheWayToBootMs = 500;

/** Handles one heartbeat; `token` and `body` are whatever came. */
export async function answerHeartbeat(
  token: string,
  nodeId: string,
  body: unknown,
  context: FleetContext,
): Promise<HeartbeatAnswer> {
  const parsed = parseApiKey(token);
  if (parsed?.kind !== 'node' || !isUuid(nodeId)) {
    throw new AppError('unauthenticated', 'The credential is not this node’s.', { reason: 'unauthenticated' });
  }
  const beat = parseBeat(body);
  const renewed = await renew(nodeId, parsed.sha256, beat, context);
  const isNewBoot = renewed.boot_before !== beat.boot_id;
  const isBack = isNewBoot || renewed.was !== 'active';
  // While the broker is away, the queue is declared when it is back.
  if (isBack) await context.declareNode(nodeId).catch(() => undefined);
  if (isBack || renewed.slots_before !== slotsOf(beat)) {
    await context.registry.loadNode(nodeId);
    context.onNodesChanged();
  }
  // Read before the orders are: what has arrived by now is not expected of the node any more.
  const through = await context.receiptsThrough.find(nodeId, beat.boot_id);
  const throughBoots = await Promise.all(
    beat.spooled_boots.map(async ({ boot_id }) => ({
      boot_id,
      seq: await context.receiptsThrough.find(nodeId, boot_id),
    })),
  );
  const hasAllReceipts =
    through >= beat.receipts_seq && beat.spooled_boots.every(({ seq }, i) => (throughBoots[i]?.seq ?? -1) >= seq);
  const listAttempts =
    !context.isFenced() && (await settleAttempts(nodeId, beat, { isNewBoot, hasAllReceipts }, context));
  const { config, version } = await currentConfig(context.database);
  return {
    lease_until: renewed.lease_until.toISOString(),
    receipts_through: through,
    receipts_through_boots: throughBoots,
    cancel: await readCancelRequests(context.database, nodeId),
    config_version: version,
    ...(listAttempts ? { list_attempts: true } : {}),
    ...(version === beat.config_version ? {} : { config }),
    trust: await context.trust(beat.manifest_kids ?? []),
    ...(await renewals(nodeId, beat, renewed, context)),
    time: new Date(context.clock.now()).toISOString(),
  };
}

/** What the node proves itself with, where half of its life is over or the node asks. A certificate that cannot be had is asked for again. */
async function renewals(
  nodeId: string,
  { csr }: Heartbeat,
  { credential_s_left }: RenewedLease,
  context: FleetContext,
): Promise<Pick<HeartbeatAnswer, 'credential' | 'certificate'>> {
  const isDue = credential_s_left < context.credentialLifetimeS / 2;
  const credential = isDue ? await renewCredential(nodeId, context) : undefined;
  const certificate =
    csr === undefined ? undefined : await context.certify?.(csr, nodeId).catch(context.onCertifyFailure);
  return {
    ...(credential === undefined ? {} : { credential }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

/** Renews the lease by the current credential, or by the next one, which becomes the current one. */
async function renew(
  nodeId: string,
  credentialSha256: Buffer,
  beat: Heartbeat,
  context: FleetContext,
): Promise<RenewedLease> {
  const renewed = await renewByCurrent(nodeId, credentialSha256, beat, context);
  if (renewed !== undefined) return renewed;
  await takeCredential(credentialSha256, nodeId, beat.boot_id, context);
  const taken = await renewByCurrent(nodeId, credentialSha256, beat, context);
  if (taken !== undefined) return taken;
  throw new AppError('unauthenticated', 'The credential is not this node’s.', { reason: 'unauthenticated' });
}

/** A node that was unhealthy and is back is told of in the same transaction. */
function renewByCurrent(
  nodeId: string,
  credentialSha256: Buffer,
  beat: Heartbeat,
  context: FleetContext,
): ReturnType<typeof renewLease> {
  return context.database.transaction(async (tx) => {
    const renewed = await renewLease(tx, {
      node_id: nodeId,
      credential_sha256: credentialSha256,
      boot_id: beat.boot_id,
      metrics: beat.metrics,
      slots: slotsOf(beat),
      capabilities: Object.fromEntries(beat.capabilities.map(({ tool, digest }) => [tool, digest])),
      lease_s: context.leaseS,
    });
    if (renewed?.was === 'unhealthy') {
      const target = { kind: 'node', id: nodeId };
      const data = { status: 'active' };
      await context.audit.append(tx, [
        {
          type: 'node.status',
          outcome: 'success',
          reason: 'heartbeats_back',
          actor: { id: nodeId, kind: 'node' },
          target,
          data,
        },
      ]);
    }
    return renewed;
  });
}

/** A node that stops takes nothing more. */
function slotsOf({ status, slots }: Heartbeat): number {
  return status === 'active' ? slots : 0;
}

function parseBeat(body: unknown): Heartbeat {
  const parsed = heartbeat.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new AppError('invalid', 'The heartbeat is not of the documented form.', {
    reason: 'invalid_heartbeat',
    errors: fieldErrors(parsed.error),
  });
}

/** Compares what the node has with what it should have. True where its list is needed for that. */
async function settleAttempts(
  nodeId: string,
  beat: Heartbeat,
  { isNewBoot, hasAllReceipts }: { isNewBoot: boolean; hasAllReceipts: boolean },
  context: FleetContext,
): Promise<boolean> {
  const orders = await readOrdersOfNode(context.database, nodeId);
  const { list, sha256 } = beat.attempts;
  if (list === undefined) return sha256 !== attemptsSha256(orders);
  const held = new Map(list.map((attempt) => [`${attempt.task_id} ${attempt.attempt.toString()}`, attempt]));
  await markRunning(
    context.database,
    orders.filter((order) => order.state === 'dispatched' && held.get(keyOf(order))?.is_started === true),
  );
  // An order that has ended is missing too while its receipt is on the way.
  if (!hasAllReceipts) return false;
  const nowMs = context.clock.now();
  const beforeMs = nowMs - (isNewBoot ? onTheWayToBootMs : onTheWayMs);
  const missing = orders.filter((order) => !held.has(keyOf(order)) && order.issued_at.getTime() < beforeMs);
  await settleMissing(nodeId, missing, nowMs, context);
  return false;
}

/**
 * Sends orders again that the node does not have, while it would still take them; gives the others back to the queue. What still
 * waits for the node at the broker is not missing: sent again, it would be refused as a replay.
 */
async function settleMissing(
  nodeId: string,
  missing: readonly OutstandingOrder[],
  nowMs: number,
  context: FleetContext,
): Promise<void> {
  const isLive = (order: OutstandingOrder): boolean => order.expires_at.getTime() > nowMs;
  // A node whose clock lies behind may take it for so long.
  const isOver = (order: OutstandingOrder): boolean => order.expires_at.getTime() + 2 * clockSkewS * 1000 < nowMs;
  const again = new Set(missing.filter(isLive).map(({ manifest }) => manifest));
  if (again.size > 0 && (await context.broker.depth(nodeQueue(nodeId)).catch(() => 1)) === 0) {
    await republish(context.database, context.broker, [...again], nowMs);
  }
  const over = missing.filter(isOver);
  if (over.length === 0) return;
  context.onLost(nodeId, over.length, await loseAttempts(over, 'not_received', context));
}

function keyOf({ task_id, attempt }: Pick<HeldAttempt, 'task_id' | 'attempt'>): string {
  return `${task_id} ${attempt.toString()}`;
}

/** SHA-256 over the lines `<task_id> <attempt> <0 or 1>\n`, 1 for a started one, in ascending order, as lower-case hex. */
function attemptsSha256(orders: readonly OutstandingOrder[]): string {
  const lines = orders.map((order) => `${keyOf(order)} ${order.state === 'running' ? '1' : '0'}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}
