/** The authority in the PKI of Vault or OpenBao: its key never leaves it. */

import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Authority, IssuedCertificate } from '../../../domain/authority.ts';
import type { Clock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/error.ts';
import { checkIssueParameters, readCertificateRequest } from '../certificate-parameters.ts';
import type { VaultClient } from './client.ts';
import { asUnavailable, vaultFailure } from './failure.ts';
import { checkIssued, isRoot, readCertificate, splitPem } from './issued-certificate.ts';
import { checkVaultName } from './name.ts';

export interface VaultAuthorityOptions {
  client: VaultClient;
  /** `pki` where none is given. */
  mount?: string;
  /** Roles of the mount: one sets the client flag alone, the other the server flag alone. */
  roles?: { client?: string; server?: string };
  clock: Clock;
}

/**
 * Makes the authority; nothing is called yet. Vault decides with its roles what it signs; what it answers is compared
 * with what was asked for. Calls fail `unavailable` where Vault cannot or will not sign.
 */
export function createVaultAuthority({ client, mount = 'pki', roles = {}, clock }: VaultAuthorityOptions): Authority {
  checkVaultName(mount);
  const roleOf = {
    client: checkVaultName(roles.client ?? 'writ-node'),
    server: checkVaultName(roles.server ?? 'writ-server'),
  };

  async function readRoot(): Promise<X509Certificate> {
    const chain = textOf(await client.read(`${mount}/cert/ca_chain`).catch(rethrow), 'ca_chain');
    const root = splitPem(chain).map(readCertificate).find(isRoot);
    if (root !== undefined) return root;
    throw new AppError('unavailable', "The chain of Vault's PKI ends before its root. Import the root beside it.", {
      reason: 'vault_root_missing',
    });
  }

  async function issue(asked: Parameters<Authority['issue']>[0]): Promise<IssuedCertificate> {
    checkIssueParameters(asked);
    const request = await readCertificateRequest(asked.csrPem);
    const path = `${mount}/sign/${roleOf[asked.usage]}`;
    const [answer, root] = await Promise.all([client.write(path, bodyOf(asked)).catch(rethrow), readRoot()]);
    const answeredPem = [textOf(answer, 'certificate'), ...chainPem(answer)];
    const chain = checkIssued({ asked, request, answeredPem, root, nowMs: clock.now() });
    // X.509 counts whole seconds, so nothing is lost in between.
    const notAfter = new Date(chain[0]?.validTo ?? '');
    return { certificatePem: chain.map((certificate) => certificate.toString()).join(''), notAfter };
  }

  return { rootPem: async () => (await readRoot()).toString(), issue };
}

/** The parameters of Vault's `sign`. Names were checked: none holds the comma that separates them. */
function bodyOf({ csrPem, commonName, names, lifetimeS }: Parameters<Authority['issue']>[0]): object {
  return {
    csr: csrPem,
    common_name: commonName,
    exclude_cn_from_sans: true,
    alt_names: names.filter((name) => isIP(name) === 0).join(','),
    ip_sans: names.filter((name) => isIP(name) !== 0).join(','),
    ttl: `${lifetimeS.toString()}s`,
    format: 'pem',
  };
}

function rethrow(error: unknown): never {
  throw asUnavailable(error);
}

function textOf(answer: unknown, member: string): string {
  const value = (answer as Record<string, unknown> | null | undefined)?.[member];
  if (typeof value !== 'string') throw vaultFailure('answerInvalid');
  return value;
}

function chainPem(answer: unknown): string[] {
  const chain = (answer as { ca_chain?: unknown }).ca_chain ?? [];
  if (!Array.isArray(chain) || !chain.every((pem) => typeof pem === 'string')) throw vaultFailure('answerInvalid');
  return chain;
}
