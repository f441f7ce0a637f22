/** Takes up, after a restart, what the journal says was in hand. */

import { ProofError } from '../proof/proof-error.ts';
import { withoutRun, type FinishedOrder } from './execution-worker.ts';
import { reopenManifest, type AcceptedOrder, type IntakeContext } from './intake.ts';
import type { HeldOrder, Journal } from './journal.ts';

/** Orders to run, and results of those that cannot be. */
export interface Resumed {
  accepted: AcceptedOrder[];
  finished: FinishedOrder[];
}

/**
 * Received orders run if they still may; started ones are answered `interrupted`, since nobody knows how far they came; finished
 * ones are in the spool.
 */
export function resumeOrders(journal: Journal, context: IntakeContext): Resumed {
  const resumed: Resumed = { accepted: [], finished: [] };
  const received = new Map<string, HeldOrder[]>();
  for (const order of journal.orders) {
    if (order.state === 'started') {
      resumed.finished.push(withoutRun(order, 'interrupted', 'interrupted', 'the node stopped while it ran'));
    } else if (order.state === 'received') {
      received.set(order.jti, [...(received.get(order.jti) ?? []), order]);
    }
  }
  for (const [jti, orders] of received) resumeManifest(orders, journal.manifestBody(jti), context, resumed);
  return resumed;
}

function resumeManifest(
  orders: readonly HeldOrder[],
  body: Buffer | undefined,
  context: IntakeContext,
  resumed: Resumed,
): void {
  let accepted: readonly AcceptedOrder[] = [];
  let refusal = { reason: 'not_in_journal', message: 'the journal does not have the manifest' };
  try {
    if (body !== undefined) accepted = reopenManifest(body, context).accepted;
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    refusal = { reason: error.code, message: error.message };
  }
  for (const order of orders) {
    const found = accepted.find(({ task_id, attempt }) => task_id === order.task_id && attempt === order.attempt);
    if (found === undefined) resumed.finished.push(withoutRun(order, 'refused', refusal.reason, refusal.message));
    else resumed.accepted.push(found);
  }
}
