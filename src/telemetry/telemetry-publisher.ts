/** Publishes events with confirms, and sorts what the broker would not take. */

import type { Broker, PublishOutcome } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import type { FeedMessage } from './feeds.ts';

/** Reasons that pass by themselves: the queue is read again, memory is freed. */
const passingReasons: ReadonlySet<string> = new Set(['queue_full', 'memory', 'nack']);

export interface Refused {
  refused: FeedMessage;
  reason: string;
  attempts: number;
}

export interface Published {
  /** Messages from the first on that need not go again. */
  done: number;
  /** Messages that the broker has taken in this call. */
  confirmed: number;
  refused: Refused[];
  failure?: AppError;
}

export class TelemetryPublisher {
  readonly #broker: Broker;
  readonly #maxAttempts: number;
  readonly #attempts = new Map<string, number>();
  /** What of the last round need not go again: it may come along with others of its record that do. */
  #settled: ReadonlySet<string> = new Set();

  constructor(broker: Broker, maxAttempts: number) {
    this.#broker = broker;
    this.#maxAttempts = maxAttempts;
  }

  /**
   * Publishes in order. `done` counts the messages from the first on that need not go again: the broker has them, or refused
   * them for the last time, and those are in `refused`. `failure` says why the rest has to go again; what is beyond the queue's `room`
   * does too.
   */
  async publish(messages: readonly FeedMessage[], room = Number.POSITIVE_INFINITY): Promise<Published> {
    const settled = new Set(messages.map(keyOf).filter((key) => this.#settled.has(key)));
    this.#settled = settled;
    const unsettled = messages.filter((message) => !settled.has(keyOf(message)));
    const sent = unsettled.slice(0, room);
    const unsent = unsettled[sent.length];
    const outcomes = await this.#broker.publish(sent.map(({ message }) => message));
    const refused: Refused[] = [];
    let failure: AppError | undefined;
    let done = messages.length;
    for (const [i, message] of sent.entries()) {
      const { outcome, reason = outcome } = outcomes[i] ?? { outcome: 'unconfirmed' };
      // Beyond the first that has to go again, tries still count: the events of one record go again together.
      const isLast = this.#isLastTry(message.message.messageId, { outcome, reason }, failure !== undefined);
      if (outcome === 'confirmed') settled.add(keyOf(message));
      if (outcome === 'confirmed' || failure !== undefined) continue;
      if (isLast) {
        refused.push({ refused: message, reason, attempts: this.#maxAttempts });
      } else {
        failure = notTaken(reason);
        done = messages.indexOf(message);
      }
    }
    const confirmed = outcomes.filter(({ outcome }) => outcome === 'confirmed').length;
    if (failure !== undefined) return { done, confirmed, refused, failure };
    if (unsent === undefined) return { done, confirmed, refused };
    return { done: messages.indexOf(unsent), confirmed, refused, failure: notTaken('queue_full') };
  }

  /** The broker has lost what it had: everything goes again. */
  forget(): void {
    this.#settled = new Set();
  }

  /** These are kept elsewhere now, and are not sent again when they come along with others. */
  markBuried(refused: readonly Refused[]): void {
    this.#settled = new Set([...this.#settled, ...refused.map((each) => keyOf(each.refused))]);
  }

  /** Counts a refusal that does not pass by itself. */
  #isLastTry(id: string, { outcome, reason }: Required<PublishOutcome>, isBehind: boolean): boolean {
    if (outcome === 'unconfirmed' || (outcome === 'refused' && passingReasons.has(reason))) return false;
    const attempts = outcome === 'confirmed' ? 0 : Math.min(this.#maxAttempts, (this.#attempts.get(id) ?? 0) + 1);
    const isLast = attempts === this.#maxAttempts && !isBehind;
    if (attempts === 0 || isLast) this.#attempts.delete(id);
    else this.#attempts.set(id, attempts);
    return isLast;
  }
}

/** Tells messages apart: a batch that begins alike may have grown since. */
function keyOf({ message }: FeedMessage): string {
  return `${message.messageId} ${message.body.length.toString()}`;
}

function notTaken(reason: string): AppError {
  return new AppError('unavailable', 'The broker does not take events now.', { reason: `telemetry_${reason}` });
}
