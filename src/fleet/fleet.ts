/** The fleet as an orchestrator sees it: joins, heartbeats, health of nodes. */

import { systemActor } from '../aaa/accounting.ts';
import { countInFlight, readLostOrders } from '../collect/collect-sql.ts';
import { loseAttempts } from '../collect/recover.ts';
import type { Broker } from '../domain/broker.ts';
import type { HeartbeatAnswer, JoinAnswer } from '../domain/node.ts';
import { nodeQueue } from '../domain/queues.ts';
import { clockSkewS } from '../proof/manifest.ts';
import { markUnhealthy } from './fleet-sql.ts';
import { answerHeartbeat } from './heartbeat.ts';
import { joinFleet } from './join.ts';
import type { FleetContext, FleetOptions } from './fleet-context.ts';
import { Leases } from './leases.ts';
import { ReceiptsThrough } from './receipts-through.ts';
import { NodeRegistry } from './registry.ts';
import { TrustSet } from './trust-set.ts';

/** Lost orders that are given up in one round at most. */
const lostMax = 2000;

export class Fleet {
  readonly registry: NodeRegistry;
  readonly #declared = new Set<string>();
  readonly #context: FleetContext;

  constructor(options: FleetOptions) {
    this.registry = new NodeRegistry(options.database);
    const trustSet = new TrustSet(options);
    this.#context = {
      ...options,
      registry: this.registry,
      leases: new Leases(options.database, options.leaseS),
      receiptsThrough: new ReceiptsThrough(options.database),
      trust: (knownKids) => trustSet.read(knownKids),
      declareNode: (nodeId) => this.#declare(nodeId),
    };
  }

  /** Registers a node by its join token. */
  join(token: string, body: unknown, requestId: string): Promise<JoinAnswer> {
    return joinFleet(token, body, requestId, this.#context);
  }

  heartbeat(token: string, nodeId: string, body: unknown): Promise<HeartbeatAnswer> {
    return answerHeartbeat(token, nodeId, body, this.#context);
  }

  /** Makes sure that the queue of each node is there. Those that were declared by this process come back with the broker by themselves. */
  async declareNodes(): Promise<void> {
    for (const { node_id, status } of this.registry.all()) {
      if (status !== 'quarantined' && !this.#declared.has(node_id)) await this.#declare(node_id);
    }
  }

  /** What each node has in hand by the database. */
  inFlight(): Promise<Map<string, number>> {
    return countInFlight(this.#context.database);
  }

  /** Reads the nodes again, and marks those unhealthy that fell silent. For the leader, about once a second. */
  async watch(): Promise<void> {
    const { database, audit, heartbeatIntervalS, heartbeatMisses, processId } = this.#context;
    await database.transaction(async (tx) => {
      const silent = await markUnhealthy(tx, heartbeatIntervalS * heartbeatMisses);
      await audit.append(
        tx,
        silent.map((nodeId) => ({
          type: 'node.status',
          outcome: 'failure',
          reason: 'heartbeats_missed',
          actor: systemActor(processId),
          target: { kind: 'node', id: nodeId },
          data: { status: 'unhealthy' },
        })),
      );
    });
    await this.registry.load();
    this.#context.onNodesChanged();
    await this.declareNodes();
  }

  async #declare(nodeId: string): Promise<void> {
    this.#declared.add(nodeId);
    await declareNodeQueue(this.#context.broker, nodeId);
  }

  /**
   * Gives up orders whose node's lease is over. For the leader, and only after it could have heard heartbeats for a whole lease:
   * an outage of the control plane loses nobody's work. True where more may be lost.
   */
  async recover(term: number): Promise<boolean> {
    const lost = await readLostOrders(this.#context.database, term, 2 * clockSkewS, lostMax);
    for (const nodeId of new Set(lost.map(({ node_id }) => node_id))) {
      const orders = lost.filter(({ node_id }) => node_id === nodeId);
      this.#context.onLost(nodeId, orders.length, await loseAttempts(orders, 'lease_over', this.#context));
    }
    return lost.length === lostMax;
  }
}

async function declareNodeQueue(broker: Broker, nodeId: string): Promise<void> {
  await broker.declare({ exchanges: [], queues: [{ name: nodeQueue(nodeId), type: 'classic' }], bindings: [] });
}
