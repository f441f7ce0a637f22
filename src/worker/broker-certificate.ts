/** The node's client certificate for the broker: asked for in time, and taken only with the key that belongs to it. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock } from '../domain/clock.ts';
import { createCertificateRequest } from '../platform/keys/certificate-request.ts';
import type { Identity } from './identity.ts';

/** Owns the key of the request that is under way; it never leaves the node. */
export class BrokerCertificate {
  readonly #clock: Clock;
  readonly #nodeId: string;
  #current: Identity['certificate'];
  #pending: { keyPem: string; csrPem: string } | undefined;

  constructor({ node_id, certificate }: Identity, clock: Clock) {
    this.#nodeId = node_id;
    this.#clock = clock;
    this.#current = certificate;
  }

  /** What a connection to the broker is made with; null where the broker asks for none. */
  get current(): Identity['certificate'] {
    return this.#current;
  }

  /** A request, where half of the certificate's life is over; the same until it is answered. */
  async renewal(): Promise<string | undefined> {
    if (this.#current === null) return undefined;
    const certificate = parse(this.#current.chain);
    // With one that cannot be read the node would never get to the broker: another is due at once.
    if (certificate !== undefined && this.#clock.now() < middleOf(certificate)) return undefined;
    this.#pending ??= await createCertificateRequest(this.#nodeId);
    return this.#pending.csrPem;
  }

  /** Takes the answer to a request: what to keep, or undefined where it does not belong to the request's key. */
  take(chain: string): Identity['certificate'] | undefined {
    const key = this.#pending?.keyPem;
    if (key === undefined || parse(chain)?.checkPrivateKey(createPrivateKey(key)) !== true) return undefined;
    this.#pending = undefined;
    this.#current = { chain, key };
    return this.#current;
  }
}

/** The first certificate of a chain; undefined where the text is none, whoever sent it. */
function parse(chain: string): X509Certificate | undefined {
  try {
    return new X509Certificate(chain);
  } catch {
    return undefined;
  }
}

function middleOf({ validFrom, validTo }: X509Certificate): number {
  return (Date.parse(validFrom) + Date.parse(validTo)) / 2;
}
