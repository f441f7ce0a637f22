/** Names of the queues between orchestrators and nodes, and the types of message on them. */

/** Receipts and refusals, from all nodes. */
export const receiptsQueue = 'writ.receipts';
/**
 * Leads to that queue and nowhere else: a node may write here, and so to no other queue, as it could by the default exchange.
 * The routing key is the queue's name.
 */
export const receiptsExchange = 'writ.receipts';

/** Manifests for one node. */
export function nodeQueue(nodeId: string): string {
  return `writ.node.${nodeId}`;
}

/** An empty queue that stands for the broker's memory. */
export function epochQueue(epoch: string): string {
  return `writ.epoch.${epoch}`;
}

export const manifestMessage = 'writ.manifest';
export const receiptMessage = 'writ.receipt';
export const refusalMessage = 'writ.refusal';
export const frameContentType = 'application/vnd.writ.frame';
