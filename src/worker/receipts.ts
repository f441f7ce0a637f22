/** Signs results into receipts, keeps them in the spool, and sends them until they are acknowledged. */

import { setImmediate } from 'node:timers/promises';
import { newId, type BootId, type Jti } from '../domain/ids.ts';
import type { Broker, OutgoingMessage } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { encodeFrame } from '../domain/frame.ts';
import { frameContentType, receiptMessage, receiptsExchange, receiptsQueue } from '../domain/queues.ts';
import type { Signer } from '../domain/signer.ts';
import type { CanonicalValue } from '../proof/canonical-json.ts';
import { CompactJwsGenerator } from '../proof/jws.ts';
import { resultsMax, type ReceiptPayload } from '../proof/receipt.ts';
import type { FinishedOrder } from './execution-worker.ts';
import type { Journal, SpooledReceipt } from './journal.ts';

/** Output and metadata beside one receipt at most. */
const bodiesMaxBytes = 4 * 1024 * 1024;
/** Receipts that are sent again together. */
const resendMax = 32;

export interface ReceiptsOptions {
  nodeId: string;
  bootId: BootId;
  broker: Broker;
  signer: Signer;
  journal: Journal;
  clock: Clock;
  /** Called when one more is in the spool and under way. */
  onSigned: () => void;
  /** The spool cannot be written: nothing may run any more. */
  onFailure: (error: unknown) => void;
}

/**
 * Owns the sequence of this boot's receipts. Results that arrive while one is signed and synced form the next. A receipt is on
 * disk before it is sent, so its number is never given twice.
 */
export class Receipts {
  readonly #options: ReceiptsOptions;
  readonly #generator: CompactJwsGenerator;
  readonly #previousBoot: { boot_id: string; seq: number } | undefined;
  #waiting: FinishedOrder[] = [];
  #seq = -1;
  #working: Promise<void> | undefined;
  #isResending = false;
  readonly #sending = new Set<Promise<unknown>>();

  constructor(options: ReceiptsOptions) {
    this.#options = options;
    this.#generator = new CompactJwsGenerator(options.signer, 'writ-receipt+jws');
    this.#previousBoot = options.journal.lastBoot;
  }

  /** Last `seq` of this boot; -1 before the first. */
  get seq(): number {
    return this.#seq;
  }

  add(finished: FinishedOrder): void {
    this.#waiting.push(finished);
    this.#working ??= this.#work();
  }

  /** Resolves when everything that has finished is in the spool and has been handed to the broker. */
  async drain(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
    await Promise.all(this.#sending);
  }

  /**
   * Sends receipts of the spool again: those of earlier boots, and what of this boot was not acknowledged beyond `through`. A call while
   * another is under way does nothing.
   */
  async resend(through: number): Promise<void> {
    if (this.#isResending) return;
    this.#isResending = true;
    try {
      const { journal, bootId } = this.#options;
      const again = journal.spool.filter(({ boot_id, seq }) => boot_id !== bootId || seq > through);
      for (let i = 0; i < again.length; i += resendMax) await this.#send(again.slice(i, i + resendMax));
    } finally {
      this.#isResending = false;
    }
  }

  async #work(): Promise<void> {
    try {
      // Work that ends in the same turn of the event loop goes together, however many slots it went through.
      await setImmediate();
      while (this.#waiting.length > 0) {
        const receipt = await this.#sign(this.#takeBatch());
        await this.#options.journal.finish(receipt);
        const sending = this.#send([receipt]).finally(() => this.#sending.delete(sending));
        this.#sending.add(sending);
        this.#options.onSigned();
      }
    } catch (error) {
      this.#options.onFailure(error);
    } finally {
      // Right after the last look: nothing can come in between and find that work is under way.
      this.#working = undefined;
    }
  }

  #takeBatch(): FinishedOrder[] {
    let bytes = 0;
    let count = 0;
    while (count < Math.min(resultsMax, this.#waiting.length)) {
      const finished = this.#waiting[count];
      bytes += (finished?.output?.length ?? 0) + (finished?.metadata?.length ?? 0);
      if (count > 0 && bytes > bodiesMaxBytes) break;
      count++;
    }
    const batch = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return batch;
  }

  async #sign(batch: readonly FinishedOrder[]): Promise<SpooledReceipt> {
    const { nodeId, bootId, clock } = this.#options;
    const seq = this.#seq + 1;
    const payload: ReceiptPayload = {
      iss: nodeId,
      jti: newId<Jti>(),
      iat: Math.floor(clock.now() / 1000),
      boot_id: bootId,
      seq,
      ...(seq === 0 && this.#previousBoot !== undefined ? { previous_boot: this.#previousBoot } : {}),
      results: batch.map(({ result }) => result),
    };
    const [jws = Buffer.alloc(0)] = await this.#generator.generate([payload as unknown as CanonicalValue]);
    this.#seq = seq;
    return {
      boot_id: bootId,
      seq,
      jti: payload.jti,
      body: encodeFrame(
        jws,
        batch.flatMap(({ output, metadata }) => [output, metadata]),
      ),
      attempts: batch.map(({ result: { task_id, attempt } }) => ({ task_id, attempt })),
    };
  }

  /** What is not confirmed stays in the spool and goes again after a heartbeat. */
  async #send(receipts: readonly SpooledReceipt[]): Promise<void> {
    if (receipts.length === 0) return;
    await this.#options.broker.publish(receipts.map(toMessage)).catch(() => undefined);
  }
}

function toMessage({ body, jti }: SpooledReceipt): OutgoingMessage {
  return {
    exchange: receiptsExchange,
    routingKey: receiptsQueue,
    body,
    messageId: jti,
    type: receiptMessage,
    contentType: frameContentType,
  };
}
