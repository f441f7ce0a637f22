/** The nodes as this orchestrator knows them, read again about once a second. */

import type { Database } from '../platform/postgres/pool.ts';
import { importPublicKey } from '../proof/public-key.ts';
import type { NodeKey } from '../collect/open-receipt.ts';
import type { NodeFacts } from '../schedule/placement.ts';
import { readNodes, type NodeRow } from './fleet-sql.ts';

/** Owns the copy of the table `nodes` in memory: by id, by credential, by key. */
export class NodeRegistry {
  readonly #database: Database;
  readonly #keys = new Map<string, NodeKey>();
  #nodes = new Map<string, NodeRow>();
  #byCredential = new Map<string, NodeRow>();

  constructor(database: Database) {
    this.#database = database;
  }

  async load(): Promise<void> {
    const rows = await readNodes(this.#database);
    this.#nodes = new Map(rows.map((row) => [row.node_id, row]));
    this.#byCredential = new Map(rows.map((row) => [row.credential_sha256.toString('hex'), row]));
    for (const { kid, node_id, jwk, trusted_from } of rows) {
      if (this.#keys.has(kid)) continue;
      this.#keys.set(kid, { nodeId: node_id, key: importPublicKey(jwk), fromS: trusted_from.getTime() / 1000 });
    }
  }

  /** The key of a node by its thumbprint; keys of nodes that have gone stay known. */
  findKey(kid: string): NodeKey | undefined {
    return this.#keys.get(kid);
  }

  /** The node whose credential this is; reads the table again for one that is not known. */
  async findByCredential(sha256: Buffer): Promise<NodeRow | undefined> {
    const key = sha256.toString('hex');
    if (!this.#byCredential.has(key)) await this.load();
    return this.#byCredential.get(key);
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
