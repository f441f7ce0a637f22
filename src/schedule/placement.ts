/** Which node may take how much: capabilities, labels, free slots, measured rate. */

import { sha256 } from '../proof/hash.ts';
import type { Requirement } from '../tasks/requirements.ts';
import type { Catalog } from '../tools/catalog.ts';

/** What is known of a node that may get orders. */
export interface NodeFacts {
  node_id: string;
  slots: number;
  labels: Readonly<Record<string, string>>;
  /** Digest of each tool that the node can run. */
  capabilities: Readonly<Record<string, string>>;
}

/** A node is given ahead what it finishes in about this time. */
const aheadMs = 50;
/** More than this on the way to one node buys nothing: five manifests, each at another step of its way. */
const inFlightMax = 2500;
/** Weight of the newest answer in the measured rate. */
const rateWeight = 0.2;

interface NodeState {
  facts: NodeFacts;
  inFlight: number;
  finishedPerMs: number;
  canRun: Map<number, boolean>;
}

/** Owns the leader's picture of the nodes. It is a hint: the node itself refuses what it cannot do. */
export class Placement {
  readonly #catalog: Catalog;
  readonly #findRequirement: (requirement: number) => Requirement | undefined;
  readonly #nodes = new Map<string, NodeState>();

  constructor(options: { catalog: Catalog; findRequirement: (requirement: number) => Requirement | undefined }) {
    this.#catalog = options.catalog;
    this.#findRequirement = options.findRequirement;
  }

  /** Replaces what is known: these nodes, and no others, may get orders. `inFlight` counts what each has in hand by the database. */
  setNodes(nodes: readonly NodeFacts[], inFlight?: ReadonlyMap<string, number>): void {
    const before = new Map(this.#nodes);
    this.#nodes.clear();
    for (const facts of nodes) {
      const known = before.get(facts.node_id);
      this.#nodes.set(facts.node_id, {
        facts,
        inFlight: inFlight === undefined ? (known?.inFlight ?? 0) : (inFlight.get(facts.node_id) ?? 0),
        finishedPerMs: known?.finishedPerMs ?? 0,
        canRun: new Map(),
      });
    }
  }

  /** Nodes that can take orders now, the least loaded first, with how many. */
  free(): { nodeId: string; credit: number }[] {
    return [...this.#nodes.values()]
      .map((node) => ({
        nodeId: node.facts.node_id,
        credit: this.#credit(node),
        load: node.inFlight / node.facts.slots,
      }))
      .filter(({ credit }) => credit > 0)
      .sort((a, b) => a.load - b.load);
  }

  /** Whether a node can run tasks of a requirement: it has the tool as the catalog has it, and the labels. */
  canRun(nodeId: string, requirement: number): boolean {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return false;
    let can = node.canRun.get(requirement);
    if (can === undefined) {
      const wanted = this.#findRequirement(requirement);
      // Another process was the first to have it: it is known in a moment.
      if (wanted === undefined) return false;
      can = this.#fits(node.facts, wanted);
      node.canRun.set(requirement, can);
    }
    return can;
  }

  /** The node that tasks of an affinity go to while it can run them: highest random weight, so that few move when nodes change. */
  preferred(affinity: string, requirement: number): string | undefined {
    let best: string | undefined;
    let bestWeight = '';
    for (const nodeId of this.#nodes.keys()) {
      if (!this.canRun(nodeId, requirement)) continue;
      const weight = sha256(`${affinity}\n${nodeId}`).toString('hex');
      if (weight > bestWeight) {
        best = nodeId;
        bestWeight = weight;
      }
    }
    return best;
  }

  dispatched(nodeId: string, count: number): void {
    const node = this.#nodes.get(nodeId);
    if (node !== undefined) node.inFlight += count;
  }

  /** `spanMs` is the time in which the node ran these, if it ran them: what it can do while it has work. */
  finished(nodeId: string, count: number, spanMs?: number): void {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    node.inFlight = Math.max(0, node.inFlight - count);
    if (spanMs !== undefined && spanMs > 0) node.finishedPerMs += (count / spanMs - node.finishedPerMs) * rateWeight;
  }

  #credit(node: NodeState): number {
    return Math.min(inFlightMax, node.facts.slots + Math.floor(node.finishedPerMs * aheadMs)) - node.inFlight;
  }

  #fits({ capabilities, labels }: NodeFacts, wanted: Requirement): boolean {
    const tool = this.#catalog.tools.get(wanted.tool);
    if (tool === undefined) return false;
    const hasTool = Object.hasOwn(capabilities, wanted.tool) && capabilities[wanted.tool] === tool.digest;
    return hasTool && Object.entries(wanted.constraints).every(([key, value]) => labels[key] === value);
  }
}
