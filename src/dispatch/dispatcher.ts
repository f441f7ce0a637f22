/** Makes orders of ready tasks: signed, committed, then sent. */

import { systemActor } from '../aaa/accounting.ts';
import { frameContentType, manifestMessage, nodeQueue } from '../domain/queues.ts';
import { encodeFrame } from '../domain/frame.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import type { Broker, OutgoingMessage } from '../domain/broker.ts';
import type { Signer } from '../domain/signer.ts';
import type { AuditLogger, RecordDraft } from '../ledger/audit-logger.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { raised } from '../platform/postgres/raised.ts';
import type { CanonicalValue } from '../proof/canonical-json.ts';
import { sha256Hex } from '../proof/hash.ts';
import { CompactJwsGenerator } from '../proof/jws.ts';
import type { Placement } from '../schedule/placement.ts';
import type { TaskScheduler } from '../schedule/task-scheduler.ts';
import { endQueuedTasks } from '../tasks/end-queued.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import { buildManifests, type OrderedTask, type UnsignedManifest } from './build-manifest.ts';
import { issueManifests, readPayloads, type SignedManifest } from './dispatch-sql.ts';
import { decideStanding, type StandingContext } from './standing.ts';

/** Tasks in one round at most, over all nodes. */
const roundMax = 2000;

export interface DispatcherOptions extends StandingContext {
  database: Database;
  broker: Broker;
  audit: AuditLogger;
  /** Signs manifests; asked for each round, since keys are rotated. */
  signer: () => Signer;
  scheduler: TaskScheduler;
  placement: Placement;
  origin: string;
  term: number;
  processId: string;
  /** Called after each commit that wrote records. */
  onCommitted: () => void;
  /** These ended without an order: their requester may not have them run any more. */
  onRefused: (taskIds: readonly string[]) => void;
  /** What became of publishing; a manifest that no node got is sent again by recovery. */
  onPublished: (outcome: { confirmed: number; failed: number }) => void;
}

/** What a node is about to get. */
interface Allotment {
  nodeId: string;
  tasks: ReadyTask[];
}

/**
 * Belongs to one term. A round takes what the nodes have room for, signs, commits with every row checked again, and publishes.
 * A process that dies before the commit has done nothing; one that dies after it leaves a manifest that is sent again.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  #generator: { kid: string; generator: CompactJwsGenerator } | undefined;
  readonly #publishing = new Set<Promise<void>>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** One round. True where more can be dispatched. Fails where nothing can be signed; the tasks wait then, as while the broker is away. */
  async runOnce(): Promise<boolean> {
    const { scheduler, broker } = this.#options;
    if (!(await broker.health()).ok) return false;
    let allotments = this.#allot();
    if (allotments.length === 0) {
      if (this.#options.placement.free().length === 0 || !(await scheduler.refill())) return false;
      allotments = this.#allot();
    }
    if (allotments.length === 0) return false;
    await this.#dispatch(allotments);
    return true;
  }

  /** Waits until what was committed has been handed to the broker. */
  async drain(): Promise<void> {
    await Promise.all(this.#publishing);
  }

  #allot(): Allotment[] {
    const { scheduler, placement, clock } = this.#options;
    const nowMs = clock.now();
    const allotments: Allotment[] = [];
    let left = roundMax;
    for (const { nodeId, credit } of placement.free()) {
      const tasks = scheduler.take(
        Math.min(credit, left),
        (requirement) => placement.canRun(nodeId, requirement),
        (task) =>
          (task.expires_at_ms === null || task.expires_at_ms > nowMs) &&
          (task.affinity === null || placement.preferred(task.affinity, task.requirement) === nodeId),
      );
      if (tasks.length > 0) allotments.push({ nodeId, tasks });
      left -= tasks.length;
      if (left <= 0) break;
    }
    return allotments;
  }

  async #dispatch(allotments: readonly Allotment[]): Promise<void> {
    const { scheduler } = this.#options;
    const taken = allotments.flatMap(({ tasks }) => tasks);
    try {
      const unsigned = await this.#prepare(allotments);
      if (unsigned.length === 0) return;
      const signed = await this.#sign(unsigned);
      await this.#commit(unsigned, signed);
      this.#publish(unsigned, signed);
    } catch (error) {
      const failure = raised(error);
      if (failure?.code === 'WR002') {
        // Some were cancelled or expired while the manifest was being signed: nothing was issued, the others go again.
        const moved = new Set(failure.detail.split(' '));
        scheduler.forget(taken.filter(({ task_id }) => moved.has(task_id)));
      }
      scheduler.putBack(taken);
      if (failure?.code !== 'WR002') throw error;
    }
  }

  async #prepare(allotments: readonly Allotment[]): Promise<UnsignedManifest[]> {
    const { database, catalog, clock, origin } = this.#options;
    const missing = allotments.flatMap(({ tasks }) => tasks.filter((t) => t.payload === null).map((t) => t.task_id));
    const payloads = missing.length === 0 ? new Map<string, Buffer>() : await readPayloads(database, missing);
    const nowS = Math.floor(clock.now() / 1000);
    const manifests: UnsignedManifest[] = [];
    for (const { nodeId, tasks } of allotments) {
      const ordered = tasks.map((task): OrderedTask => {
        const payload = task.payload ?? payloads.get(task.task_id);
        if (payload === undefined) throw new Error('a queued task without its row');
        return task.payload === null ? { ...task, payload } : (task as OrderedTask);
      });
      const { allowed, refused } = await decideStanding(ordered, this.#options);
      for (const [reason, refusedTasks] of refused) await this.#refuse(refusedTasks, reason);
      if (allowed.length > 0) manifests.push(...buildManifests(nodeId, allowed, { origin, nowS, catalog }));
    }
    return manifests;
  }

  /** Ends tasks whose requester may not have them run any more. */
  async #refuse(tasks: readonly ReadyTask[], reason: string): Promise<void> {
    const { database, audit, scheduler, processId, onCommitted } = this.#options;
    await endQueuedTasks(database, audit, tasks, {
      state: 'cancelled',
      reason,
      record: { type: 'task.cancel', outcome: 'deny', reason, actor: systemActor(processId) },
    });
    scheduler.forget(tasks);
    onCommitted();
    this.#options.onRefused(tasks.map(({ task_id }) => task_id));
  }

  async #sign(unsigned: readonly UnsignedManifest[]): Promise<SignedManifest[]> {
    const payloads = unsigned.map(({ payload }) => payload as unknown as CanonicalValue);
    const jwss = await this.#currentGenerator().generate(payloads);
    return unsigned.map(({ payload, node_id }, i): SignedManifest => {
      const jws = jwss[i] ?? Buffer.alloc(0);
      const { jti, iat, exp, orders } = payload;
      return { jti, iat, exp, orders, node_id, jws, sha256: sha256Hex(jws), record_id: newId<RecordId>() };
    });
  }

  #currentGenerator(): CompactJwsGenerator {
    const signer = this.#options.signer();
    if (this.#generator?.kid !== signer.kid) {
      this.#generator = { kid: signer.kid, generator: new CompactJwsGenerator(signer, 'writ-manifest+jws') };
    }
    return this.#generator.generator;
  }

  async #commit(unsigned: readonly UnsignedManifest[], signed: readonly SignedManifest[]): Promise<void> {
    const { database, audit, term, scheduler, placement, processId, onCommitted } = this.#options;
    const records = signed.map((manifest): RecordDraft => ({
      id: manifest.record_id as RecordId,
      type: 'manifest.issue',
      outcome: 'success',
      actor: systemActor(processId),
      target: { kind: 'task', ids: manifest.orders.map(({ task_id }) => task_id) },
      data: { manifest_sha256: manifest.sha256, jti: manifest.jti, node_id: manifest.node_id },
    }));
    await issueManifests(database, term, signed, audit.arrays(records));
    for (const { node_id, tasks } of unsigned) {
      scheduler.forget(tasks);
      placement.dispatched(node_id, tasks.length);
    }
    onCommitted();
  }

  #publish(unsigned: readonly UnsignedManifest[], signed: readonly SignedManifest[]): void {
    const messages = signed.map((manifest, i) =>
      manifestToMessage(
        manifest,
        (unsigned[i]?.tasks ?? []).map(({ payload }) => payload),
        this.#options.clock.now(),
      ),
    );
    const publishing = this.#options.broker
      .publish(messages)
      .then(
        (outcomes) => {
          const confirmed = outcomes.filter(({ outcome }) => outcome === 'confirmed').length;
          this.#options.onPublished({ confirmed, failed: outcomes.length - confirmed });
        },
        () => {
          this.#options.onPublished({ confirmed: 0, failed: messages.length });
        },
      )
      .finally(() => this.#publishing.delete(publishing));
    this.#publishing.add(publishing);
  }
}

/** The message that carries a manifest to its node; it expires with the manifest, whose `exp` lies ahead. */
export function manifestToMessage(
  manifest: { jti: string; node_id: string; jws: Buffer; exp: number },
  payloads: readonly Buffer[],
  nowMs: number,
): OutgoingMessage {
  return {
    exchange: '',
    routingKey: nodeQueue(manifest.node_id),
    body: encodeFrame(manifest.jws, payloads),
    messageId: manifest.jti,
    type: manifestMessage,
    contentType: frameContentType,
    expirationMs: Math.max(1, Math.ceil(manifest.exp * 1000 - nowMs)),
    // What a restart of the broker loses is asked for by heartbeats and sent again.
    persistent: false,
  };
}
