/** Which nodes could run an action, and which of them have room. */

import type { Catalog } from '../tools/catalog.ts';
import type { NodeLoad } from './explain-sql.ts';

/** What a task needs of a node. */
export interface Need {
  tool: string;
  constraints: Readonly<Record<string, string>>;
}

export interface Candidates {
  /** Nodes with the tool, as the catalog has it, and with the labels, that are heard of. */
  able: NodeLoad[];
  /** Those of them that have a free slot. */
  free: NodeLoad[];
}

/** The nodes that placement would choose from. A node without slots only watches. */
export function candidatesOf(need: Need, nodes: readonly NodeLoad[], catalog: Catalog): Candidates {
  const digest = catalog.tools.get(need.tool)?.digest;
  const able = nodes.filter(
    (node) =>
      digest !== undefined &&
      node.status === 'active' &&
      node.is_leased &&
      node.slots > 0 &&
      Object.hasOwn(node.capabilities, need.tool) &&
      node.capabilities[need.tool] === digest &&
      Object.entries(need.constraints).every(([label, value]) => node.labels[label] === value),
  );
  return { able, free: able.filter(({ slots, in_hand }) => in_hand < slots) };
}
