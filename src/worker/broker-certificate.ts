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
    const { validFrom, validTo } = new X509Certificate(this.#current.chain);
    const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
    if (this.#clock.now() < fromMs + (toMs - fromMs) / 2) return undefined;
    this.#pending ??= await createCertificateRequest(this.#nodeId);
    return this.#pending.csrPem;
  }

  /** Takes the answer to a request: what to keep, or undefined where it does not belong to the request's key. */
  take(chain: string): Identity['certificate'] | undefined {
    const key = this.#pending?.keyPem;
    if (key === undefined || !new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))) return undefined;
    this.#pending = undefined;
    this.#current = { chain, key };
    return this.#current;
  }
}
