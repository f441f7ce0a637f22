/** Names of the queues between orchestrators and nodes, and the types of message on them. */

/** Receipts and refusals, from all nodes. */
export const receiptsQueue = 'writ.receipts';

/** Manifests for one node. */
export function nodeQueue(nodeId: string): string {
  return `writ.node.${nodeId}`;
}

export const manifestMessage = 'writ.manifest';
export const receiptMessage = 'writ.receipt';
export const refusalMessage = 'writ.refusal';
export const frameContentType = 'application/vnd.writ.frame';
