/** Holds each node to one sequence of receipts over its boots (formats.md rule 23), before a receipt counts. */

import type { Queryable } from '../platform/postgres/pool.ts';
import { prove } from '../proof/proof-error.ts';
import type { ReceiptPayload } from '../proof/receipt.ts';
import { readBoots, type StoredBoot } from './collect-sql.ts';

const nodesMax = 20_000;

/**
 * Remembers the boot that each node is in: its further receipts need no look. What contradicts is refused here, since a log
 * that had accepted it would not verify.
 */
export class Boots {
  readonly #current = new Map<string, string>();

  /** Throws a ProofError with `boot_contradicts` for a receipt that does not fit those that are stored. */
  async check(db: Queryable, receipt: ReceiptPayload): Promise<void> {
    const { iss, boot_id, seq } = receipt;
    if (this.#current.get(iss) === boot_id && seq > 0) return;
    const boots = await readBoots(db, iss);
    checkAgainst(receipt, boots);
    const isOlder = boots.some(({ previous_boot }) => previous_boot === boot_id);
    if (isOlder) return;
    if (this.#current.size >= nodesMax) this.#current.clear();
    this.#current.set(iss, boot_id);
  }
}

function checkAgainst({ boot_id, seq, previous_boot }: ReceiptPayload, boots: readonly StoredBoot[]): void {
  const successor = boots.find((boot) => boot.previous_boot === boot_id);
  prove(
    successor?.previous_seq == null || seq <= successor.previous_seq,
    'boot_contradicts',
    'a receipt beyond the last that the next boot named',
  );
  if (seq > 0 || successor !== undefined) return;
  // Receipts arrive in any order: the last boot is the one that no other names as the one before it.
  const before = boots.find(
    (boot) => boot.boot_id !== boot_id && !boots.some(({ previous_boot: named }) => named === boot.boot_id),
  );
  if (before === undefined) return;
  prove(previous_boot !== undefined, 'boot_contradicts', 'a boot that names none before, although there was one');
  const named = boots.find((boot) => boot.boot_id === previous_boot.boot_id);
  prove(
    named === undefined || named === before,
    'boot_contradicts',
    'a boot that names another than the last before it',
  );
  prove(
    named === undefined || previous_boot.seq >= named.last_seq,
    'boot_contradicts',
    'a boot that names an earlier receipt as the last',
  );
}
