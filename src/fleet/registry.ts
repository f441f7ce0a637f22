/** The nodes as this orchestrator knows them: all of them read again about once a second, one as soon as it has changed. */

import type { Database } from '../platform/postgres/pool.ts';
import { importPublicKey } from '../proof/public-key.ts';
import type { NodeKey } from '../collect/open-receipt.ts';
import type { NodeFacts } from '../schedule/placement.ts';
import {
  readNodeDescriptions,
  readNodeState,
  readNodeStates,
  type NodeDescription,
  type NodeState,
} from './registry-sql.ts';

/** A node, with what it told of itself. */
export interface RegisteredNode extends NodeState {
  description: NodeDescription;
}

/** Owns the copy of the table `nodes` in memory: by id, by key. */
export class NodeRegistry {
  readonly #database: Database;
  readonly #keys = new Map<string, NodeKey>();
  #nodes = new Map<string, RegisteredNode>();
  /** The last reading. One goes after the other, so that nothing older is kept in place of what is known already. */
  #reading: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Reads all nodes. */
  load(): Promise<void> {
    return this.#read(async () => {
      const nodes = await this.#describe(await readNodeStates(this.#database));
      this.#nodes = new Map(nodes.map((node) => [node.node_id, node]));
    });
  }

  /** Reads one node. */
  loadNode(nodeId: string): Promise<void> {
    return this.#read(async () => {
      const state = await readNodeState(this.#database, nodeId);
      const [node] = state === undefined ? [] : await this.#describe([state]);
      if (node === undefined) this.#nodes.delete(nodeId);
      else this.#nodes.set(nodeId, node);
    });
  }

  #read(work: () => Promise<void>): Promise<void> {
    const reading = this.#reading.then(work);
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  /** Reads the descriptions that are not known as they are now. */
  async #describe(states: readonly NodeState[]): Promise<RegisteredNode[]> {
    const found = new Map<string, NodeDescription>();
    const changed: string[] = [];
    for (const { node_id, described_at } of states) {
      const known = this.#nodes.get(node_id);
      if (known?.described_at === described_at) found.set(node_id, known.description);
      else changed.push(node_id);
    }
    for (const description of changed.length === 0 ? [] : await readNodeDescriptions(this.#database, changed)) {
      found.set(description.node_id, description);
      this.#learnKey(description);
    }
    return states.flatMap((state) => {
      const description = found.get(state.node_id);
      return description === undefined ? [] : [{ ...state, description }];
    });
  }

  #learnKey({ kid, node_id, jwk, trusted_from }: NodeDescription): void {
    if (this.#keys.has(kid)) return;
    this.#keys.set(kid, { nodeId: node_id, key: importPublicKey(jwk), fromS: trusted_from.getTime() / 1000 });
  }

  /** The key of a node by its thumbprint; keys of nodes that have gone stay known, those of nodes that were cloned are not believed. */
  findKey(kid: string): NodeKey | undefined {
    const key = this.#keys.get(kid);
    return key !== undefined && this.#nodes.get(key.nodeId)?.status === 'quarantined' ? undefined : key;
  }

  find(nodeId: string): RegisteredNode | undefined {
    return this.#nodes.get(nodeId);
  }

  all(): readonly RegisteredNode[] {
    return [...this.#nodes.values()];
  }

  /** Nodes that may get orders: heard of lately, with slots. */
  ready(): NodeFacts[] {
    return this.all()
      .filter(({ status, is_leased, slots }) => status === 'active' && is_leased && slots > 0)
      .map(({ node_id, slots, description: { labels, capabilities } }) => ({ node_id, slots, labels, capabilities }));
  }
}
