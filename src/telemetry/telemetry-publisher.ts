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
   * Publishes in order. `done` counts the messages from the first on that need not go again: the broker has them, or refused
   * them for the last time, and those are in `refused`. `failure` says why the rest has to go again.
   */
  async publish(messages: readonly FeedMessage[]): Promise<{ done: number; refused: Refused[]; failure?: AppError }> {
    const outcomes = await this.#broker.publish(messages.map(({ message }) => message));
    const refused: Refused[] = [];
    for (const [i, message] of messages.entries()) {
      const { outcome, reason } = outcomes[i] ?? { outcome: 'unconfirmed' };
      const id = message.message.messageId;
      if (outcome === 'confirmed') {
        this.#attempts.delete(id);
        continue;
      }
      const isPassing = outcome === 'unconfirmed' || (outcome === 'refused' && passingReasons.has(reason ?? ''));
      const attempts = (this.#attempts.get(id) ?? 0) + 1;
      if (isPassing || attempts < this.#maxAttempts) {
        if (!isPassing) this.#attempts.set(id, attempts);
        return { done: i, refused, failure: notTaken(reason ?? outcome) };
      }
      this.#attempts.delete(id);
      refused.push({ refused: message, reason: reason ?? outcome, attempts });
    }
    return { done: messages.length, refused };
  }
}

function notTaken(reason: string): AppError {
  return new AppError('unavailable', 'The broker does not take events now.', { reason: `telemetry_${reason}` });
}
