/** Credentials of nodes: handed out by heartbeats, one generation after the other, so that a copy of a node shows. */

import { generateApiKey, parseApiKey } from '../aaa/api-key.ts';
import { AppError } from '../domain/error.ts';
import { nodeQueue } from '../domain/queues.ts';
import type { Transaction } from '../platform/postgres/pool.ts';
import type { FleetContext } from './fleet-context.ts';
import {
  findCredential,
  insertCredential,
  isNextFresh,
  lockNode,
  promoteCredential,
  quarantine,
} from './credential-sql.ts';

/** The last call of a boot that was killed may arrive so long after the next boot has used another credential, or a tenth of its life. */
const lateMaxS = 15;
/** A call of the same boot may arrive so long after: longer than any is under way. Who sends it then is another, that says the boot it has read. */
const lateOfBootMaxS = 600;
/** A former credential tells of two holders for so long after its own life; later it is taken for a backup that was brought back. */
const toldAfterLifeS = 86_400;
/** Credentials of the next generation that are handed out at most: as many answers may be lost. */
const nextMax = 8;

export interface NewCredential {
  text: string;
  sha256: Buffer;
}

/** A credential that nobody has yet. */
export function newCredential(): NewCredential {
  const text = generateApiKey('node');
  return { text, sha256: parseApiKey(text)?.sha256 ?? Buffer.alloc(0) };
}

/**
 * Decides about a credential that is not the node's current one. The next generation's becomes the current one by its first use, and
 * the others that were handed out with it end. One that was replaced before tells of two holders, and the node is quarantined, unless it is the
 * one before and comes a little late, from the same boot or from one that was killed. Fails `unauthenticated` or `forbidden`; returns where
 * the credential is the current one now.
 */
export async function takeCredential(
  sha256: Buffer,
  nodeId: string,
  bootId: string,
  context: FleetContext,
): Promise<void> {
  const verdict = await context.database.transaction(async (tx) => {
    // Nobody locks a node by a credential that was made up.
    if ((await findCredential(tx, nodeId, sha256)) === undefined) return 'unknown';
    const node = await lockNode(tx, nodeId);
    const credential = await findCredential(tx, nodeId, sha256);
    if (node === undefined || credential === undefined) return 'unknown';
    if (node.status === 'quarantined') return 'quarantined';
    if (node.status === 'gone') return 'gone';
    const isCurrent = node.credential_sha256.equals(sha256);
    if (isCurrent || credential.generation === node.generation + 1) {
      if (credential.expired_s_ago >= 0) return 'expired';
      if (isCurrent) return 'current';
      await promoteCredential(tx, nodeId, sha256, credential.expires_at);
      return 'current';
    }
    // The node itself has moved on while its call took its time; a boot that was killed may have sent one just before.
    const lateS = node.boot_id === bootId ? lateOfBootMaxS : Math.min(lateMaxS, context.credentialLifetimeS / 10);
    if (credential.generation === node.generation - 1 && node.promoted_s_ago < lateS) return 'late';
    // Whether its own life is over meanwhile says nothing about who holds it.
    if (credential.expired_s_ago > toldAfterLifeS) return 'expired';
    await quarantineNode(tx, nodeId, context);
    return 'cloned';
  });
  if (verdict === 'cloned') await leaveBroker(nodeId, context);
  if (verdict !== 'current') throw refusal(verdict);
}

/**
 * Hands out a credential of the next generation; kept with others that the node may not have received. Undefined where one was handed out
 * a while ago: they are spread over the second half of the present one's life. None is ever forgotten, or a copy of the node could ask
 * for so many that the node's own is unknown, and nobody would see that there are two.
 */
export async function renewCredential(
  nodeId: string,
  presentSha256: Buffer,
  context: FleetContext,
): Promise<string | undefined> {
  const { credentialLifetimeS } = context;
  const { text, sha256 } = newCredential();
  const isHandedOut = await context.database.transaction(async (tx) => {
    const node = await lockNode(tx, nodeId);
    if (node === undefined) throw refusal('unknown');
    // Replaced while this call was answered: who holds it now is told by its own calls.
    if (node.status !== 'active' || !node.credential_sha256.equals(presentSha256)) return false;
    const generation = node.generation + 1;
    if (await isNextFresh(tx, nodeId, generation, credentialLifetimeS / 2 / nextMax)) return false;
    await insertCredential(tx, { sha256, node_id: nodeId, generation, lifetime_s: credentialLifetimeS });
    return true;
  });
  return isHandedOut ? text : undefined;
}

async function quarantineNode(tx: Transaction, nodeId: string, { audit }: FleetContext): Promise<void> {
  await quarantine(tx, nodeId);
  await audit.append(tx, [
    {
      type: 'node.status',
      outcome: 'failure',
      reason: 'credential_reused',
      actor: { id: nodeId, kind: 'node' },
      target: { kind: 'node', id: nodeId },
      data: { status: 'quarantined' },
    },
  ]);
}

/** Nothing more comes to it: its queue goes, and its user may not come back. What it has in hand is lost with its lease. */
async function leaveBroker(nodeId: string, { broker, registry, onNodesChanged }: FleetContext): Promise<void> {
  await registry.loadNode(nodeId);
  onNodesChanged();
  await broker.deleteQueue(nodeQueue(nodeId)).catch(() => undefined);
}

function refusal(verdict: 'unknown' | 'expired' | 'late' | 'gone' | 'quarantined' | 'cloned'): AppError {
  switch (verdict) {
    case 'unknown':
      return new AppError('unauthenticated', 'The credential is not this node’s.', { reason: 'unauthenticated' });
    case 'expired':
      return new AppError('unauthenticated', 'The credential of this node has expired: it has to join again.', {
        reason: 'node_credential_expired',
      });
    case 'late':
      return new AppError('unauthenticated', 'The credential of this node has been replaced.', {
        reason: 'node_credential_replaced',
      });
    case 'gone':
      return new AppError('forbidden', 'This node has been removed.', { reason: 'node_gone' });
    case 'quarantined':
    case 'cloned':
      return new AppError(
        'forbidden',
        'This node is quarantined: its credential was used by two. Take its data folder away and join again.',
        { reason: 'node_quarantined' },
      );
  }
}
