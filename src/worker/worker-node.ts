/** A node: joins, takes manifests from its queue, runs what it believes, and answers with signed receipts. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, Consumer, Delivery } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { BrokerAccess } from '../domain/node.ts';
import { newId, type BootId, type Jti } from '../domain/ids.ts';
import type { HeartbeatAnswer } from '../domain/node.ts';
import { frameContentType, receiptsExchange, receiptsQueue, refusalMessage } from '../domain/queues.ts';
import type { Scope } from '../domain/scope.ts';
import { sha256Hex } from '../proof/hash.ts';
import { CompactJwsGenerator } from '../proof/jws.ts';
import { ProofError } from '../proof/proof-error.ts';
import { BrokerCertificate } from './broker-certificate.ts';
import { ExecutionWorker, withoutRun } from './execution-worker.ts';
import { Heartbeats } from './heartbeats.ts';
import { IdentityFile, type Identity } from './identity.ts';
import { openManifest, type AcceptedOrder, type IntakeContext, type OpenManifest } from './intake.ts';
import { capabilitiesOf, joinFleet, type JoinOptions } from './join.ts';
import { Journal } from './journal.ts';
import { Receipts } from './receipts.ts';
import { resumeOrders } from './resume.ts';
import { PinnedTrust } from './trust.ts';

/** Manifests out with the node at most; each is up to 500 orders. */
const prefetch = 8;
const consumeAgainMs = 1000;
const tidyMs = 30_000;

/** What a node reaches its broker with. */
export interface NodeBrokerAccess extends BrokerAccess {
  nodeId: string;
  /** The present certificate; asked for before each connection, since it is renewed. */
  certificate: () => Identity['certificate'];
}

export interface WorkerNodeOptions extends JoinOptions {
  clock: Clock;
  /** Connects to the broker, once, when the node knows who it is. The node closes it. */
  connectBroker: (access: NodeBrokerAccess) => Promise<Broker>;
  /** The node cannot go on: its journal cannot be written, or it was shut out of the fleet. */
  onFatal: (error: unknown) => void;
}

interface NodeParts {
  broker: Broker;
  identity: IdentityFile;
  certificate: BrokerCertificate;
  journal: Journal;
}

export class WorkerNode {
  readonly #options: WorkerNodeOptions;
  readonly #broker: Broker;
  readonly #identity: IdentityFile;
  readonly #certificate: BrokerCertificate;
  readonly #trust: PinnedTrust;
  readonly #journal: Journal;
  readonly #receipts: Receipts;
  readonly #worker: ExecutionWorker;
  readonly #heartbeats: Heartbeats;
  readonly #refusals: CompactJwsGenerator;
  #scopes: ReadonlyMap<string, Scope>;
  #configVersion: number;
  #consumer: Consumer | undefined;
  #arrived: Delivery[] = [];
  #taking: Promise<void> | undefined;
  #isStopping = false;
  /** Why consuming could not begin the last time: told once. */
  #consumeFailure: string | undefined;
  #tidyTimer: NodeJS.Timeout | undefined;

  private constructor(options: WorkerNodeOptions, parts: NodeParts) {
    const { broker, identity, certificate, journal } = parts;
    this.#options = options;
    this.#broker = broker;
    this.#identity = identity;
    this.#certificate = certificate;
    this.#journal = journal;
    this.#trust = new PinnedTrust(identity.value.trust, options.clock);
    this.#scopes = byName(identity.value.config.scopes);
    this.#configVersion = identity.value.config_version;
    this.#refusals = new CompactJwsGenerator(options.signer, 'writ-refusal+jws');
    const { signer, clock, slots, catalog, link, onFatal } = options;
    const bootId = newId<BootId>();
    const nodeId = this.nodeId;
    this.#receipts = new Receipts({
      ...{ nodeId, bootId, broker, signer, journal, clock, onFailure: onFatal },
      onSigned: () => {
        this.#heartbeats.receiptSigned();
      },
    });
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
      ...{ link, clock, nodeId, bootId },
      credential: () => identity.value.credential,
      renewal: () => certificate.renewal(),
      manifestKids: () => this.#trust.kids,
      intervalS: identity.value.heartbeat_interval_s,
      slots,
      capabilities: capabilitiesOf(catalog),
      journal,
      receipts: this.#receipts,
      worker: this.#worker,
      configVersion: () => this.#configVersion,
      onAnswer: (answer) => this.#takeAnswer(answer),
      onFailure: (error) => {
        options.log('heartbeat.failed', { reason: error instanceof Error ? error.message : 'unknown' });
        if (error instanceof AppError && error.code === 'forbidden') onFatal(error);
      },
      onClockOff: (offset_s) => {
        options.log('clock.off', { offset_s });
      },
    });
  }

  /** Joins where that is still to be done, takes up what was in hand, and begins to take orders. */
  static async start(options: WorkerNodeOptions): Promise<WorkerNode> {
    await mkdir(join(options.dataDir, 'work'), { recursive: true, mode: 0o700 });
    const identity = (await IdentityFile.open(options.dataDir)) ?? (await joinFleet(options));
    const certificate = new BrokerCertificate(identity.value, options.clock);
    const { node_id: nodeId, broker: access } = identity.value;
    const journal = await Journal.open(options.dataDir);
    const broker = await options
      .connectBroker({ ...access, nodeId, certificate: () => certificate.current })
      .catch(async (error: unknown) => {
        await journal.close();
        throw error;
      });
    const node = new WorkerNode(options, { broker, identity, certificate, journal });
    try {
      await node.#begin();
    } catch (error) {
      await node.#worker.stop(0);
      await broker.close();
      await journal.close();
      throw error;
    }
    return node;
  }

  get nodeId(): string {
    return this.#identity.value.node_id;
  }

  /** Takes no more, gives what runs `graceMs`, hands back the rest, and sends all receipts. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#tidyTimer);
    const consumer = this.#consumer;
    this.#consumer = undefined;
    await consumer?.cancel().catch(() => undefined);
    while (this.#taking !== undefined) await this.#taking;
    await this.#worker.stop(graceMs);
    await this.#receipts.drain();
    await this.#heartbeats.stop();
    await this.#broker.close();
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
      const consumer = await this.#broker.consume(this.#identity.value.broker.queue, {
        prefetch,
        onDeliveries: (deliveries) => {
          this.#arrived.push(...deliveries);
          this.#take();
        },
        onCancelled: (reason) => {
          this.#options.log('consumer.cancelled', { reason });
          this.#consumer = undefined;
          this.#arrived = [];
          setTimeout(() => void this.#consume(), consumeAgainMs).unref();
        },
      });
      if (this.#isStopped()) await consumer.cancel();
      else this.#consumer = consumer;
      this.#consumeFailure = undefined;
    } catch (error) {
      const reason = error instanceof AppError ? error.reason : 'unknown';
      if (reason !== this.#consumeFailure) this.#options.log('consumer.not_begun', { reason });
      this.#consumeFailure = reason;
      setTimeout(() => void this.#consume(), consumeAgainMs).unref();
    }
  }

  #isStopped(): boolean {
    return this.#isStopping;
  }

  #take(): void {
    this.#taking ??= this.#takeArrived()
      .catch(this.#options.onFatal)
      .finally(() => {
        this.#taking = undefined;
        // What came after the last look, and before this line, found that these were being taken.
        if (this.#arrived.length > 0) this.#take();
      });
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
        const taking = this.#journal.take([{ payload, body: delivery.body, orders }]);
        // Waited for below; a failure until then is not one that nobody hears of.
        taking.catch(() => undefined);
        taken.push(taking);
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
    const [jws = Buffer.alloc(0)] = await this.#refusals.generate([
      {
        iss: this.nodeId,
        iat: Math.floor(this.#options.clock.now() / 1000),
        manifest_sha256: sha256Hex(delivery.body),
        reason,
      },
    ]);
    await this.#broker
      .publish([
        {
          exchange: receiptsExchange,
          routingKey: receiptsQueue,
          body: jws,
          messageId: newId<Jti>(),
          type: refusalMessage,
          contentType: frameContentType,
        },
      ])
      .catch(() => undefined);
  }

  async #takeAnswer(answer: HeartbeatAnswer): Promise<void> {
    const { config, config_version, trust, credential } = answer;
    const change: Partial<Identity> = {};
    if (trust !== undefined) {
      const { isChanged, refused } = this.#trust.widen(trust);
      for (const reason of refused) this.#options.log('key.refused', { reason });
      if (isChanged) change.trust = this.#trust.value;
    }
    if (config !== undefined) {
      this.#scopes = byName(config.scopes);
      this.#configVersion = config_version;
      Object.assign(change, { config, config_version });
    }
    const certificate = answer.certificate === undefined ? undefined : this.#certificate.take(answer.certificate);
    if (certificate !== undefined) change.certificate = certificate;
    // On disk before it is used: the one before is good until then, and shuts the node out after.
    if (credential !== undefined) change.credential = credential;
    if (Object.keys(change).length > 0) await this.#identity.update(change);
  }

  #context(): IntakeContext {
    const { catalog, clock } = this.#options;
    return { nodeId: this.nodeId, trust: this.#trust, journal: this.#journal, catalog, scopes: this.#scopes, clock };
  }
}

function byName(scopes: readonly Scope[]): ReadonlyMap<string, Scope> {
  return new Map(scopes.map((scope) => [scope.name, scope]));
}
