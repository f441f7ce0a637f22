/** Tells which real services this machine can start now, without fetching anything. */
import { findOpenBao } from './openbao-program.ts';
import { onPath } from './programs.ts';
import { findRabbitMq } from './rabbitmq.ts';

/** For each part `true`, or what is missing. */
export interface Available {
  rabbitmq: true | string;
  openbao: true | string;
}

export function available(): Available {
  const openssl = onPath('openssl') !== undefined || 'OpenSSL is not installed (Debian: openssl)';
  return {
    rabbitmq: findRabbitMq() === undefined ? 'RabbitMQ is not installed (Debian: rabbitmq-server)' : openssl,
    openbao:
      findOpenBao() === undefined
        ? 'neither bao nor vault is on the PATH, and "npm test" has not fetched one'
        : openssl,
  };
}
