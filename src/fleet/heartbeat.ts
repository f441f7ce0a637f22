/** Answers heartbeats: renews the lease, settles what a node has in hand, and passes on what it must know. */

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
import { readCancelRequests } from './fleet-sql.ts';
import { hasMoreReceipts, reviveNode, type RenewedLease } from './heartbeat-sql.ts';
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
  const { isRevived, through, ...renewed } = await renew(nodeId, parsed.sha256, beat, context);
  const isNewBoot = renewed.boot_before !== beat.boot_id;
  const isBack = isNewBoot || isRevived;
  // While the broker is away, the queue is declared when it is back.
  if (isBack) await context.declareNode(nodeId).catch(() => undefined);
  if (isBack || renewed.slots_before !== slotsOf(beat)) {
    await context.registry.loadNode(nodeId);
    context.onNodesChanged();
  }
  // Receipts are read no later than the orders: what has arrived by then is not expected of the node any more.
  const throughBoots: Heartbeat['spooled_boots'] = [];
  for (const { boot_id } of beat.spooled_boots) {
    throughBoots.push({ boot_id, seq: await context.receiptsThrough.find(nodeId, boot_id) });
  }
  const hasAllReceipts =
    through >= beat.receipts_seq && beat.spooled_boots.every(({ seq }, i) => (throughBoots[i]?.seq ?? -1) >= seq);
  const { list, sha256 } = beat.attempts;
  const listAttempts = list === undefined && sha256 !== renewed.attempts_sha256 && !context.isFenced();
  if (list !== undefined && !context.isFenced()) {
    await settleAttempts(nodeId, list, { isNewBoot, hasAllReceipts }, context);
  }
  const hasConfig = renewed.config_version === beat.config_version;
  const { config, version } = hasConfig ? { version: beat.config_version } : await currentConfig(context.database);
  return {
    lease_until: renewed.lease_until.toISOString(),
    receipts_through: through,
    receipts_through_boots: throughBoots,
    cancel: renewed.has_cancel_requests ? await readCancelRequests(context.database, nodeId) : [],
    config_version: version,
    ...(listAttempts ? { list_attempts: true } : {}),
    ...(config === undefined ? {} : { config }),
    trust: await context.trust(beat.manifest_kids ?? []),
    ...(await renewals(nodeId, parsed.sha256, beat, renewed, context)),
    time: new Date(context.clock.now()).toISOString(),
  };
}

/** What the node proves itself with, where half of its life is over or the node asks. A certificate that cannot be had is asked for again. */
async function renewals(
  nodeId: string,
  credentialSha256: Buffer,
  { csr }: Heartbeat,
  { credential_s_left }: RenewedLease,
  context: FleetContext,
): Promise<Pick<HeartbeatAnswer, 'credential' | 'certificate'>> {
  const isDue = credential_s_left < context.credentialLifetimeS / 2;
  const credential = isDue ? await renewCredential(nodeId, credentialSha256, context) : undefined;
  const certificate =
    csr === undefined ? undefined : await context.certify?.(csr, nodeId).catch(context.onCertifyFailure);
  return {
    ...(credential === undefined ? {} : { credential }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

/** A lease, with how far the receipts of the boot have arrived, and whether the node had fallen silent before. */
interface Renewal extends RenewedLease {
  isRevived: boolean;
  through: number;
}

/** Renews the lease by the current credential, or by the next one, which becomes the current one. */
async function renew(
  nodeId: string,
  credentialSha256: Buffer,
  beat: Heartbeat,
  context: FleetContext,
): Promise<Renewal> {
  const renewed = await renewActive(nodeId, credentialSha256, beat, context);
  if (renewed !== undefined) return { ...renewed, isRevived: false };
  await takeCredential(credentialSha256, nodeId, beat.boot_id, context);
  const isRevived = await revive(nodeId, credentialSha256, context);
  const taken = await renewActive(nodeId, credentialSha256, beat, context);
  if (taken !== undefined) return { ...taken, isRevived };
  // It was a moment ago: the node has been marked meanwhile, and may report again.
  throw new AppError('unavailable', 'The node has changed meanwhile. Report again.', {
    reason: 'node_changed',
    retryAfterS: 1,
  });
}

async function renewActive(
  nodeId: string,
  credentialSha256: Buffer,
  beat: Heartbeat,
  { leases, receiptsThrough }: FleetContext,
): Promise<Omit<Renewal, 'isRevived'> | undefined> {
  const after = receiptsThrough.known(nodeId, beat.boot_id);
  const renewed = await leases.renew({
    node_id: nodeId,
    credential_sha256: credentialSha256,
    boot_id: beat.boot_id,
    metrics: beat.metrics,
    slots: slotsOf(beat),
    capabilities: Object.fromEntries(beat.capabilities.map(({ tool, digest }) => [tool, digest])),
    receipts_through: after,
  });
  if (renewed === undefined) return undefined;
  const through = receiptsThrough.take(nodeId, beat.boot_id, after, renewed.receipt_seqs);
  return { ...renewed, through: hasMoreReceipts(renewed) ? await receiptsThrough.find(nodeId, beat.boot_id) : through };
}

/** A node that was unhealthy and is back is told of in the same transaction. */
function revive(nodeId: string, credentialSha256: Buffer, { database, audit, leaseS }: FleetContext): Promise<boolean> {
  return database.transaction(async (tx) => {
    const isRevived = await reviveNode(tx, nodeId, credentialSha256, leaseS);
    if (isRevived) {
      await audit.append(tx, [
        {
          type: 'node.status',
          outcome: 'success',
          reason: 'heartbeats_back',
          actor: { id: nodeId, kind: 'node' },
          target: { kind: 'node', id: nodeId },
          data: { status: 'active' },
        },
      ]);
    }
    return isRevived;
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

/** Compares what the node has with what it should have. */
async function settleAttempts(
  nodeId: string,
  list: readonly HeldAttempt[],
  { isNewBoot, hasAllReceipts }: { isNewBoot: boolean; hasAllReceipts: boolean },
  context: FleetContext,
): Promise<void> {
  const orders = await readOrdersOfNode(context.database, nodeId);
  const held = new Map(list.map((attempt) => [`${attempt.task_id} ${attempt.attempt.toString()}`, attempt]));
  await markRunning(
    context.database,
    orders.filter((order) => order.state === 'dispatched' && held.get(keyOf(order))?.is_started === true),
  );
  // An order that has ended is missing too while its receipt is on the way.
  if (!hasAllReceipts) return;
  const nowMs = context.clock.now();
  const beforeMs = nowMs - (isNewBoot ? onTheWayToBootMs : onTheWayMs);
  const missing = orders.filter((order) => !held.has(keyOf(order)) && order.issued_at.getTime() < beforeMs);
  await settleMissing(nodeId, missing, nowMs, context);
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
