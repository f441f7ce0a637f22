/** A node: joins, takes manifests from its queue, runs what it believes, and answers with signed receipts. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, Consumer, Delivery } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import { newId, type BootId, type Jti } from '../domain/ids.ts';
import type { HeartbeatAnswer } from '../domain/node.ts';
import { frameContentType, receiptsQueue, refusalMessage } from '../domain/queues.ts';
import type { Scope } from '../domain/scope.ts';
import type { Signer } from '../domain/signer.ts';
import { sha256Hex } from '../proof/hash.ts';
import { CompactJwsGenerator } from '../proof/jws.ts';
import { ProofError } from '../proof/proof-error.ts';
import type { Catalog } from '../tools/catalog.ts';
import type { ControlLink } from './control-link.ts';
import { ExecutionWorker, withoutRun } from './execution-worker.ts';
import { Heartbeats } from './heartbeats.ts';
import { readIdentity, writeIdentity, type Identity } from './identity.ts';
import { openManifest, type AcceptedOrder, type IntakeContext, type OpenManifest } from './intake.ts';
import { Journal } from './journal.ts';
import { Receipts } from './receipts.ts';
import { resumeOrders } from './resume.ts';
import { readTrust, type Trust } from './trust.ts';

/** Manifests out with the node at most; each is up to 500 orders. */
const prefetch = 8;
const consumeAgainMs = 1000;
const tidyMs = 30_000;

export interface WorkerNodeOptions {
  dataDir: string;
  broker: Broker;
  signer: Signer;
  catalog: Catalog;
  clock: Clock;
  link: ControlLink;
  name: string;
  labels: Record<string, string>;
  slots: number;
  /** Asked for a join token where the node has not joined yet. */
  joinToken: () => Promise<string>;
  /** One line for the log: what happened, with ids and codes only. */
  log: (event: string, fields: Record<string, string | number>) => void;
  /** The node cannot go on: its journal cannot be written. */
  onFatal: (error: unknown) => void;
}

export class WorkerNode {
  readonly #options: WorkerNodeOptions;
  readonly #identity: Identity;
  readonly #journal: Journal;
  readonly #receipts: Receipts;
  readonly #worker: ExecutionWorker;
  readonly #heartbeats: Heartbeats;
  readonly #refusals: CompactJwsGenerator;
  #trust: Trust;
  #scopes: ReadonlyMap<string, Scope>;
  #configVersion: number;
  #consumer: Consumer | undefined;
  #arrived: Delivery[] = [];
  #taking: Promise<void> | undefined;
  #isStopping = false;
  #tidyTimer: NodeJS.Timeout | undefined;

  private constructor(options: WorkerNodeOptions, identity: Identity, journal: Journal) {
    this.#options = options;
    this.#identity = identity;
    this.#journal = journal;
    this.#trust = readTrust(identity.trust, options.clock);
    this.#scopes = byName(identity.config.scopes);
    this.#configVersion = identity.config_version;
    this.#refusals = new CompactJwsGenerator(options.signer, 'writ-refusal+jws');
    const { broker, signer, clock, slots, catalog, link, onFatal } = options;
    const bootId = newId<BootId>();
    const nodeId = identity.node_id;
    this.#receipts = new Receipts({ nodeId, bootId, broker, signer, journal, clock, onFailure: onFatal });
    this.#worker = new ExecutionWorker({
      slots,
      journal,
      clock,
      workDir: join(options.dataDir, 'work'),
      onFinished: (finished) => {
        this.#receipts.add(finished);
      },
      onFailure: onFatal,
    });
    this.#heartbeats = new Heartbeats({
      link,
      credential: identity.credential,
      nodeId,
      bootId,
      intervalS: identity.heartbeat_interval_s,
      slots,
      capabilities: capabilitiesOf(catalog),
      journal,
      receipts: this.#receipts,
      worker: this.#worker,
      configVersion: () => this.#configVersion,
      onAnswer: (answer) => this.#takeAnswer(answer),
      onFailure: (error) => {
        options.log('heartbeat.failed', { reason: error instanceof Error ? error.message : 'unknown' });
      },
    });
  }

  /** Joins where that is still to be done, takes up what was in hand, and begins to take orders. */
  static async start(options: WorkerNodeOptions): Promise<WorkerNode> {
    await mkdir(join(options.dataDir, 'work'), { recursive: true, mode: 0o700 });
    const identity = (await readIdentity(options.dataDir)) ?? (await joinFleet(options));
    const node = new WorkerNode(options, identity, await Journal.open(options.dataDir));
    try {
      await node.#begin();
    } catch (error) {
      await node.#worker.stop(0);
      await node.#journal.close();
      throw error;
    }
    return node;
  }

  get nodeId(): string {
    return this.#identity.node_id;
  }

  /** Takes no more, gives what runs `graceMs`, hands back the rest, and sends all receipts. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#tidyTimer);
    const consumer = this.#consumer;
    this.#consumer = undefined;
    await consumer?.cancel().catch(() => undefined);
    await this.#taking;
    await this.#worker.stop(graceMs);
    await this.#receipts.drain();
    await this.#heartbeats.stop();
    await this.#journal.close();
  }

  async #begin(): Promise<void> {
    const resumed = resumeOrders(this.#journal, this.#context());
    for (const finished of resumed.finished) this.#receipts.add(finished);
    this.#worker.add(resumed.accepted);
    await this.#receipts.resend(-1);
    await this.#heartbeats.beat({ withList: true }).catch((error: unknown) => {
      this.#missHeartbeat(error);
    });
    this.#heartbeats.start();
    await this.#consume();
    this.#tidyTimer = setInterval(() => {
      this.#journal.tidy(Math.floor(this.#options.clock.now() / 1000)).catch(this.#options.onFatal);
    }, tidyMs);
  }

  /** A first heartbeat that nobody could answer is made up for by the next; a node that is refused does not start. */
  #missHeartbeat(error: unknown): void {
    if (!(error instanceof AppError) || error.code !== 'unavailable') throw error;
    this.#options.log('heartbeat.failed', { reason: error.reason });
  }

  async #consume(): Promise<void> {
    if (this.#isStopping) return;
    try {
      this.#consumer = await this.#options.broker.consume(this.#identity.broker.queue, {
        prefetch,
        onDeliveries: (deliveries) => {
          this.#arrived.push(...deliveries);
          this.#taking ??= this.#takeArrived()
            .catch(this.#options.onFatal)
            .finally(() => (this.#taking = undefined));
        },
        onCancelled: (reason) => {
          this.#options.log('consumer.cancelled', { reason });
          this.#consumer = undefined;
          this.#arrived = [];
          setTimeout(() => void this.#consume(), consumeAgainMs).unref();
        },
      });
    } catch {
      setTimeout(() => void this.#consume(), consumeAgainMs).unref();
    }
  }

  async #takeArrived(): Promise<void> {
    while (this.#arrived.length > 0) {
      const deliveries = this.#arrived;
      const consumer = this.#consumer;
      this.#arrived = [];
      const accepted: AcceptedOrder[] = [];
      const taken: Promise<void>[] = [];
      for (const delivery of deliveries) {
        const opened = await this.#open(delivery);
        if (opened === undefined) continue;
        const { payload, refused } = opened;
        const orders = opened.accepted.map(({ task_id, attempt }) => ({ task_id, attempt }));
        // Memory changes in this call, so the next manifest of the batch is judged by it; the writes go together.
        taken.push(this.#journal.take([{ payload, body: Buffer.from(delivery.body), orders }]));
        accepted.push(...opened.accepted);
        for (const order of refused) this.#receipts.add(withoutRun(order, 'refused', order.reason, order.message));
      }
      await Promise.all(taken);
      this.#worker.add(accepted);
      if (consumer !== undefined && consumer === this.#consumer) consumer.ack(deliveries);
    }
  }

  /** Undefined where the manifest as a whole is not believed, or is known. */
  async #open(delivery: Delivery): Promise<OpenManifest | undefined> {
    try {
      let opened = openManifest(delivery, this.#context());
      if (opened.refused.some(({ reason }) => reason === 'unknown_scope')) {
        // Scopes come with heartbeats: one that was made just now is asked for.
        await this.#heartbeats.beat().catch(() => undefined);
        opened = openManifest(delivery, this.#context());
      }
      return opened;
    } catch (error) {
      if (!(error instanceof ProofError)) throw error;
      // The broker may deliver again what was not acknowledged in time; that is no replay.
      if (error.code === 'replayed' && delivery.redelivered) return undefined;
      await this.#refuse(delivery, error.code);
      return undefined;
    }
  }

  async #refuse(delivery: Delivery, reason: string): Promise<void> {
    this.#options.log('manifest.refused', { reason });
    const [jws = ''] = await this.#refusals.generate([
      {
        iss: this.nodeId,
        iat: Math.floor(this.#options.clock.now() / 1000),
        manifest_sha256: sha256Hex(delivery.body),
        reason,
      },
    ]);
    await this.#options.broker
      .publish([
        {
          exchange: '',
          routingKey: receiptsQueue,
          body: Buffer.from(jws, 'latin1'),
          messageId: newId<Jti>(),
          type: refusalMessage,
          contentType: frameContentType,
        },
      ])
      .catch(() => undefined);
  }

  async #takeAnswer(answer: HeartbeatAnswer): Promise<void> {
    const { config, config_version, trust } = answer;
    if (trust?.origin === this.#identity.trust.origin) this.#trust = readTrust(trust, this.#options.clock);
    if (config === undefined) return;
    this.#scopes = byName(config.scopes);
    this.#configVersion = config_version;
    await writeIdentity(this.#options.dataDir, { ...this.#identity, config, config_version });
  }

  #context(): IntakeContext {
    const { catalog, clock } = this.#options;
    return { nodeId: this.nodeId, trust: this.#trust, journal: this.#journal, catalog, scopes: this.#scopes, clock };
  }
}

async function joinFleet(options: WorkerNodeOptions): Promise<Identity> {
  const { jwk } = options.signer;
  if (jwk.kty !== 'OKP') throw new Error('the key of a node is an Ed25519 key');
  const answer = await options.link.join(await options.joinToken(), {
    config: { listen_addr: '', capabilities: capabilitiesOf(options.catalog) },
    name: options.name,
    labels: options.labels,
    slots: options.slots,
    receipt_key: jwk,
  });
  await writeIdentity(options.dataDir, answer);
  return answer;
}

function capabilitiesOf(catalog: Catalog): { tool: string; digest: string }[] {
  return [...catalog.tools.values()].map(({ tool, digest }) => ({ tool, digest }));
}

function byName(scopes: readonly Scope[]): ReadonlyMap<string, Scope> {
  return new Map(scopes.map((scope) => [scope.name, scope]));
}
