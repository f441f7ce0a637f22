/** Parts that count and time what goes through them, for the metrics; what they do stays the same. */

import type { Broker, OutgoingMessage, PublishOutcome } from '../domain/broker.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/error.ts';
import type { Signer, SigningKey } from '../domain/signer.ts';

/** Told of each call for signatures: how long it took, and the kind of failure where it failed. */
export type OnSigned = (seconds: number, failure: string | undefined) => void;

export function timedSigner(signer: Signer, clock: Clock, onSigned: OnSigned): Signer {
  return {
    algorithm: signer.algorithm,
    kid: signer.kid,
    jwk: signer.jwk,
    sign: async (texts) => {
      const fromMs = clock.monotonicMs();
      let failure: string | undefined;
      try {
        return await signer.sign(texts);
      } catch (error) {
        failure = error instanceof AppError ? error.code : 'internal';
        throw error;
      } finally {
        onSigned((clock.monotonicMs() - fromMs) / 1000, failure);
      }
    },
  };
}

export function timedSigningKey(key: SigningKey, clock: Clock, onSigned: OnSigned): SigningKey {
  return {
    versions: () => key.versions(),
    signer: async (version) => timedSigner(await key.signer(version), clock, onSigned),
    rotate: () => key.rotate(),
    retireBefore: (version) => key.retireBefore(version),
  };
}

/** Tells of the outcomes of messages to one exchange: a publish goes to one as a whole. */
export function countedBroker(
  broker: Broker,
  exchange: string,
  onPublished: (outcomes: readonly PublishOutcome[]) => void,
): Broker {
  return {
    declare: (topology, options) => broker.declare(topology, options),
    deleteQueue: (name) => broker.deleteQueue(name),
    publish: async (messages: readonly OutgoingMessage[]) => {
      const outcomes = await broker.publish(messages);
      if (messages[0]?.exchange === exchange) onPublished(outcomes);
      return outcomes;
    },
    consume: (queue, options) => broker.consume(queue, options),
    depth: (queue) => broker.depth(queue),
    health: () => broker.health(),
    close: () => broker.close(),
  };
}
