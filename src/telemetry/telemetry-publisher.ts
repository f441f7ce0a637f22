/** Publishes events with confirms, and sorts what the broker would not take. */

import type { Broker } from '../domain/broker.ts';
import { AppError } from '../domain/error.ts';
import type { FeedMessage } from './feeds.ts';

/** Reasons that pass by themselves: the queue is read again, memory is freed. */
const passingReasons: ReadonlySet<string> = new Set(['queue_full', 'memory', 'nack']);

export interface Refused {
  refused: FeedMessage;
  reason: string;
  attempts: number;
}

export class TelemetryPublisher {
  readonly #broker: Broker;
  readonly #maxAttempts: number;
  readonly #attempts = new Map<string, number>();

  constructor(broker: Broker, maxAttempts: number) {
    this.#broker = broker;
    this.#maxAttempts = maxAttempts;
  }

  /**
   * Publishes in order. Answers messages that the broker refused for the last time; the others are in their queues. Fails
   * `unavailable` while something may still be delivered by trying again: then all of them go again, which consumers bear.
   */
  async publish(messages: readonly FeedMessage[]): Promise<Refused[]> {
    const outcomes = await this.#broker.publish(messages.map(({ message }) => message));
    const refused: Refused[] = [];
    let failure: string | undefined;
    outcomes.forEach(({ outcome, reason }, i) => {
      const message = messages[i];
      if (outcome === 'confirmed' || message === undefined) return;
      const isPassing = outcome === 'unconfirmed' || (outcome === 'refused' && passingReasons.has(reason ?? ''));
      if (isPassing) {
        failure ??= reason ?? outcome;
        return;
      }
      const id = message.message.messageId;
      const attempts = (this.#attempts.get(id) ?? 0) + 1;
      this.#attempts.set(id, attempts);
      if (attempts < this.#maxAttempts) failure ??= reason ?? outcome;
      else refused.push({ refused: message, reason: reason ?? outcome, attempts });
    });
    if (failure !== undefined) {
      throw new AppError('unavailable', 'The broker does not take events now.', { reason: `telemetry_${failure}` });
    }
    this.#attempts.clear();
    return refused;
  }
}
