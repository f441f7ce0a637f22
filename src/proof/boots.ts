/** The sequence of receipts of each node, through all its boots (formats.md rule 23). */

import type { ReceiptPayload } from './receipt.ts';
import { holdRule } from './rule.ts';

interface Boot {
  /** All of 0 … next − 1 are there. */
  next: number;
  /** Those that are there beyond a gap. */
  beyond: Set<number>;
  highest: number;
  previous?: { boot_id: string; seq: number };
}

interface Node {
  boots: Map<string, Boot>;
  /** Boots by the one that they name as the last before; the empty name is no boot. */
  successors: Map<string, string>;
}

/** What is missing in the sequences at the end of a log. */
export interface BootGaps {
  /** Receipts that are missing between others, or that a later boot says were signed. */
  missing: number;
  /** Boots with gaps that may have been recorded before the part that was read. */
  unknown: number;
}

/** Owns what is known of each boot of each node. */
export class Boots {
  readonly #nodes = new Map<string, Node>();

  /** Takes one receipt. Refuses a number that was taken, and boots whose order contradicts. */
  add({ iss, boot_id: bootId, seq, previous_boot: previous }: ReceiptPayload): void {
    const node = this.#nodes.get(iss) ?? { boots: new Map<string, Boot>(), successors: new Map<string, string>() };
    this.#nodes.set(iss, node);
    const boot = node.boots.get(bootId) ?? { next: 0, beyond: new Set(), highest: -1 };
    node.boots.set(bootId, boot);
    holdRule(seq >= boot.next && !boot.beyond.has(seq), 23, 'two receipts of one number in one boot');
    boot.beyond.add(seq);
    while (boot.beyond.delete(boot.next)) boot.next++;
    boot.highest = Math.max(boot.highest, seq);
    if (seq === 0) {
      const before = previous?.boot_id ?? '';
      holdRule(!node.successors.has(before), 23, 'two boots that follow the same one');
      node.successors.set(before, bootId);
      if (previous !== undefined) boot.previous = previous;
    }
    this.#checkSuccessor(node, bootId, boot);
    if (boot.previous !== undefined) this.#checkPrevious(node, boot.previous);
  }

  /**
   * What is missing at the end. `isWhole` says of a node whether all its receipts were recorded in the part that was
   * read; of another node only boots that follow one seen here can be judged, since receipts may be recorded late.
   */
  gaps(isWhole: (nodeId: string) => boolean): BootGaps {
    const gaps = { missing: 0, unknown: 0 };
    for (const [nodeId, node] of this.#nodes) {
      for (const [bootId, boot] of node.boots) {
        const count = this.#missingIn(node, bootId, boot);
        const { previous } = boot;
        const isPreviousSeen = previous !== undefined && node.boots.has(previous.boot_id);
        if (isWhole(nodeId)) gaps.missing += count + (previous === undefined || isPreviousSeen ? 0 : previous.seq + 1);
        else if (isPreviousSeen) gaps.missing += count;
        else if (count > 0) gaps.unknown++;
      }
    }
    return gaps;
  }

  /** How many of a boot's receipts are missing up to the highest that is known to have been signed. */
  #missingIn(node: Node, bootId: string, boot: Boot): number {
    const successor = node.boots.get(node.successors.get(bootId) ?? '');
    const last = Math.max(boot.highest, successor?.previous?.seq ?? -1);
    return last + 1 - boot.next - boot.beyond.size;
  }

  #checkSuccessor(node: Node, bootId: string, boot: Boot): void {
    const successor = node.boots.get(node.successors.get(bootId) ?? '');
    const named = successor?.previous?.seq;
    holdRule(named === undefined || boot.highest <= named, 23, 'a receipt beyond the last that the next boot names');
  }

  #checkPrevious(node: Node, previous: { boot_id: string; seq: number }): void {
    const boot = node.boots.get(previous.boot_id);
    holdRule(
      boot === undefined || boot.highest <= previous.seq,
      23,
      'a boot names an earlier last receipt than is there',
    );
  }
}
