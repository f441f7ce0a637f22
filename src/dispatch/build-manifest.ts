/** Builds manifests from ready tasks: grants for what orders share, orders by rank, within the limits of size. */

import { newId, type Jti } from '../domain/ids.ts';
import { canonicalize, type CanonicalValue } from '../proof/canonical-json.ts';
import { manifestLifetimeS, ordersMax, type Grant, type ManifestPayload, type Order } from '../proof/manifest.ts';
import type { ReadyTask } from '../tasks/ready-task.ts';
import type { Catalog } from '../tools/catalog.ts';

/** Payload bytes beside one manifest at most: a message stays well below what brokers take. */
const payloadsMaxBytes = 4 * 1024 * 1024;
/** Canonical grants of one manifest at most; with 500 orders the JWS stays below its limit. */
const grantsMaxBytes = 200 * 1024;

/** A task whose payload is at hand. */
export type OrderedTask = ReadyTask & { payload: Buffer };

export interface UnsignedManifest {
  node_id: string;
  payload: ManifestPayload;
  tasks: OrderedTask[];
}

/**
 * Manifests for one node, each with at most 500 orders, in the order of the tasks. The tool's digest is the catalog's present
 * one; the caller has checked that the catalog still has each action.
 */
export function buildManifests(
  nodeId: string,
  tasks: readonly OrderedTask[],
  context: { origin: string; nowS: number; catalog: Catalog },
): UnsignedManifest[] {
  const manifests: UnsignedManifest[] = [];
  let draft = new Draft(nodeId, context);
  for (const task of tasks) {
    if (!draft.add(task)) {
      manifests.push(draft.manifest());
      draft = new Draft(nodeId, context);
      draft.add(task);
    }
  }
  if (draft.size > 0) manifests.push(draft.manifest());
  return manifests;
}

class Draft {
  readonly #payload: ManifestPayload;
  readonly #nodeId: string;
  readonly #catalog: Catalog;
  readonly #tasks: OrderedTask[] = [];
  readonly #grants = new Map<string, number>();
  #payloadBytes = 0;
  #grantBytes = 0;
  /** The grant of the last task: the next one's is nearly always the same. */
  #last: { task: ReadyTask; grant: number } | undefined;

  constructor(nodeId: string, { origin, nowS, catalog }: { origin: string; nowS: number; catalog: Catalog }) {
    this.#nodeId = nodeId;
    this.#catalog = catalog;
    this.#payload = {
      iss: origin,
      aud: nodeId,
      jti: newId<Jti>(),
      iat: nowS,
      nbf: nowS,
      exp: nowS + manifestLifetimeS,
      grants: [],
      orders: [],
    };
  }

  get size(): number {
    return this.#tasks.length;
  }

  manifest(): UnsignedManifest {
    return { node_id: this.#nodeId, payload: this.#payload, tasks: this.#tasks };
  }

  /** False where the manifest is full; an empty one takes any task. */
  add(task: OrderedTask): boolean {
    const isFull =
      this.size >= ordersMax ||
      this.#payloadBytes + task.payload.length > payloadsMaxBytes ||
      this.#grantBytes > grantsMaxBytes;
    if (this.size > 0 && isFull) return false;
    // In the order of canonical JSON.
    const order: Order = {
      attempt: task.attempt + 1,
      grant: this.#grantIndex(task),
      payload_sha256: task.payload_sha256,
      task_id: task.task_id,
    };
    if (task.traceparent !== null) order.traceparent = task.traceparent;
    this.#payload.orders.push(order);
    this.#tasks.push(task);
    this.#payloadBytes += task.payload.length;
    return true;
  }

  #grantIndex(task: ReadyTask): number {
    if (this.#last !== undefined && haveOneGrant(this.#last.task, task)) return this.#last.grant;
    const grant = this.#findGrant(task);
    this.#last = { task, grant };
    return grant;
  }

  #findGrant(task: ReadyTask): number {
    const { tool, action, timeout_s, scope, principal, required_role } = task;
    const key = `${tool} ${action} ${timeout_s.toString()} ${scope ?? ''} ${principal} ${required_role}`;
    const known = this.#grants.get(key);
    if (known !== undefined) return known;
    const entry = this.#catalog.find(tool, action);
    if (entry === undefined) throw new Error('an order for an action that the catalog does not have');
    const grant: Grant = {
      tool,
      tool_digest: entry.digest,
      action,
      effects: entry.effects,
      timeout_s,
      scope,
      requested_by: principal,
      required_role,
      approvals: [],
    };
    const index = this.#payload.grants.push(grant) - 1;
    this.#grants.set(key, index);
    this.#grantBytes += canonicalize(grant as unknown as CanonicalValue).length;
    return index;
  }
}

function haveOneGrant(a: ReadyTask, b: ReadyTask): boolean {
  return (
    a.tool === b.tool &&
    a.action === b.action &&
    a.timeout_s === b.timeout_s &&
    a.scope === b.scope &&
    a.principal === b.principal &&
    a.required_role === b.required_role
  );
}
