/** What a node may do on the broker: read its own queue, write receipts, nothing else. */

import { nodeQueue, receiptsExchange } from '../domain/queues.ts';
import { isUuid } from '../proof/ids.ts';
import type { NodeRegistry } from './registry.ts';

/** A question as RabbitMQ's HTTP backend puts it; every member is controlled by whoever connects. */
export type BrokerQuestion =
  | { about: 'user'; user: string }
  /** Somebody who gives a password, and so has shown no certificate. */
  | { about: 'password'; user: string }
  | { about: 'vhost'; user: string; vhost: string }
  | { about: 'resource'; user: string; vhost: string; resource: string; name: string; permission: string }
  | { about: 'topic'; user: string };

/** Why it is denied; stable codes. Undefined where it is allowed. */
export type BrokerDenial = 'unknown_node' | 'node_quarantined' | 'password_login' | 'other_vhost' | 'broker_permission';

/** Decides by the nodes as they are known; one that is not known is looked up. `vhost` is the one that Writ lives in. */
export async function decideBrokerAccess(
  question: BrokerQuestion,
  { registry, vhost }: { registry: NodeRegistry; vhost: string },
): Promise<BrokerDenial | undefined> {
  const { user } = question;
  // A node has none: whoever gives one comes by a mechanism, or a plugin of RabbitMQ, that looks at no certificate.
  if (question.about === 'password') return 'password_login';
  if (!isUuid(user)) return 'unknown_node';
  if (registry.find(user) === undefined) await registry.loadNode(user);
  const node = registry.find(user);
  if (node === undefined) return 'unknown_node';
  if (node.status === 'quarantined') return 'node_quarantined';
  if (question.about === 'user') return undefined;
  if (question.about === 'topic') return 'broker_permission';
  if (question.vhost !== vhost) return 'other_vhost';
  if (question.about === 'vhost') return undefined;
  const { resource, name, permission } = question;
  const isOwnQueue = resource === 'queue' && name === nodeQueue(user) && permission === 'read';
  const isReceipts = resource === 'exchange' && name === receiptsExchange && permission === 'write';
  return isOwnQueue || isReceipts ? undefined : 'broker_permission';
}
