/** Joins the fleet by a single-use token, as often as it takes until it is answered. */

import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../domain/error.ts';
import type { Signer } from '../domain/signer.ts';
import { createCertificateRequest } from '../platform/keys/certificate-request.ts';
import type { Catalog } from '../tools/catalog.ts';
import type { ControlLink } from './control-link.ts';
import { IdentityFile } from './identity.ts';

export interface JoinOptions {
  dataDir: string;
  signer: Signer;
  catalog: Catalog;
  link: ControlLink;
  name: string;
  labels: Record<string, string>;
  slots: number;
  /** Whether the broker is reached with a certificate. */
  wantsCertificate: boolean;
  /** Asked for once, where the node has not joined yet. */
  joinToken: () => Promise<string>;
  /** Wait between tries while the orchestrator does not answer; one try where it is absent. */
  joinRetryS?: number;
  log: (event: string, fields: Record<string, string | number>) => void;
}

/**
 * The identity that the join gave, on disk. The same token with the same receipt key is answered again, so an answer that was lost, or
 * a process that died before it kept one, costs nothing but another try.
 */
export async function joinFleet(options: JoinOptions): Promise<IdentityFile> {
  const token = await options.joinToken();
  for (;;) {
    try {
      return await joinOnce(token, options);
    } catch (error) {
      const { joinRetryS, log } = options;
      if (joinRetryS === undefined || !(error instanceof AppError) || error.code !== 'unavailable') throw error;
      log('join.failed', { reason: error.reason, message: error.message, retry_s: joinRetryS });
      await delay(joinRetryS * 1000);
    }
  }
}

async function joinOnce(token: string, options: JoinOptions): Promise<IdentityFile> {
  const { signer, catalog, link, name, labels, slots, wantsCertificate, dataDir } = options;
  const { jwk } = signer;
  if (jwk.kty !== 'OKP') throw new Error('the key of a node is an Ed25519 key');
  const request = wantsCertificate ? await createCertificateRequest(name) : undefined;
  const answer = await link.join(token, {
    config: { listen_addr: '', capabilities: capabilitiesOf(catalog) },
    ...{ name, labels, slots },
    receipt_key: jwk,
    ...(request === undefined ? {} : { csr: request.csrPem }),
  });
  return IdentityFile.create(dataDir, answer, request?.keyPem);
}

/** The tools of a catalog with their digests, as a node advertises them. */
export function capabilitiesOf(catalog: Catalog): { tool: string; digest: string }[] {
  return [...catalog.tools.values()].map(({ tool, digest }) => ({ tool, digest }));
}
