/** Hands the door for RabbitMQ's questions the rooms behind it. */

import type { BrokerAuthDoorOptions } from '../doors/http/broker-auth.ts';
import { decideBrokerAccess } from '../fleet/broker-access.ts';
import type { Orchestrator } from './orchestrator.ts';

/** Decides about nodes in the virtual host, and records what is denied; a flood is counted instead. */
export function brokerAuthOf(
  { fleet, aaa, log }: Pick<Orchestrator, 'fleet' | 'aaa' | 'log'>,
  vhost: string,
): Pick<BrokerAuthDoorOptions, 'decide' | 'onDenied' | 'onFailure'> {
  const onFailure = (error: unknown): void => {
    log('warn', 'broker_auth.failed', { error });
  };
  return {
    decide: (question) => decideBrokerAccess(question, { registry: fleet.registry, vhost }),
    onDenied: (question, reason) => {
      const { user, ...asked } = question;
      aaa.denials
        .record({
          type: 'auth.deny',
          outcome: 'deny',
          reason,
          actor: { id: user === '' ? 'nobody' : shortened(user, 64), kind: 'node' },
          data: { call: 'broker', ...shortenedAll(asked) },
        })
        .catch(onFailure);
    },
    onFailure,
  };
}

/** Names come from whoever connects: they may be long, and hold what no text of the database can (NUL, half of a character). */
function shortened(text: string, length: number): string {
  return text.slice(0, length).toWellFormed().replaceAll('\0', '\ufffd');
}

function shortenedAll(asked: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(asked).map(([name, text]) => [name, shortened(text, 128)]));
}
