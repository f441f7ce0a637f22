/** The nodes as this orchestrator knows them: all of them read again about once a second, one as soon as it has changed. */

import type { Database } from '../platform/postgres/pool.ts';
import { importPublicKey } from '../proof/public-key.ts';
import type { NodeKey } from '../collect/open-receipt.ts';
import type { NodeFacts } from '../schedule/placement.ts';
import { readNode, readNodes, type NodeRow } from './fleet-sql.ts';

/** Owns the copy of the table `nodes` in memory: by id, by key. */
export class NodeRegistry {
  readonly #database: Database;
  readonly #keys = new Map<string, NodeKey>();
  #nodes = new Map<string, NodeRow>();
  /** The last reading. One goes after the other, so that nothing older is kept in place of what is known already. */
  #reading: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Reads all nodes. */
  load(): Promise<void> {
    return this.#read(async () => {
      const rows = await readNodes(this.#database);
      this.#nodes = new Map(rows.map((row) => [row.node_id, row]));
      for (const row of rows) this.#learnKey(row);
    });
  }

  /** Reads one node. */
  loadNode(nodeId: string): Promise<void> {
    return this.#read(async () => {
      const row = await readNode(this.#database, nodeId);
      if (row === undefined) {
        this.#nodes.delete(nodeId);
        return;
      }
      this.#nodes.set(nodeId, row);
      this.#learnKey(row);
    });
  }

  #read(work: () => Promise<void>): Promise<void> {
    const reading = this.#reading.then(work);
    this.#reading = reading.catch(() => undefined);
    return reading;
  }

  #learnKey({ kid, node_id, jwk, trusted_from }: NodeRow): void {
    if (this.#keys.has(kid)) return;
    this.#keys.set(kid, { nodeId: node_id, key: importPublicKey(jwk), fromS: trusted_from.getTime() / 1000 });
  }

  /** The key of a node by its thumbprint; keys of nodes that have gone stay known, those of nodes that were cloned are not believed. */
  findKey(kid: string): NodeKey | undefined {
    const key = this.#keys.get(kid);
    return key !== undefined && this.#nodes.get(key.nodeId)?.status === 'quarantined' ? undefined : key;
  }

  find(nodeId: string): NodeRow | undefined {
    return this.#nodes.get(nodeId);
  }

  all(): readonly NodeRow[] {
    return [...this.#nodes.values()];
  }

  /** Nodes that may get orders: heard of lately, with slots. */
  ready(): NodeFacts[] {
    return this.all()
      .filter((node) => node.status === 'active' && node.is_leased && node.slots > 0 && node.last_heartbeat !== null)
      .map(({ node_id, slots, labels, capabilities }) => ({ node_id, slots, labels, capabilities }));
  }
}
