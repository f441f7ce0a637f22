/** What Writ uses of Vault: keys that sign, the store of the mark, the authority of node certificates. */

import { randomUUID, X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import { createCertificateRequest } from '../../platform/keys/certificate-request.ts';
import type { VaultClient } from '../../platform/keys/vault/client.ts';
import { openTransitKey, type TransitKeyType } from '../../platform/keys/vault/transit-key.ts';
import { createVaultAuthority } from '../../platform/keys/vault/vault-authority.ts';
import type { Settings } from '../../settings/settings.ts';
import { examineEnd } from './certificates.ts';
import { wordsOf, type Examination } from './finding.ts';
import { examineNodeTrust } from './node-trust.ts';
import { trySigning } from './try-signing.ts';

const testLifetimeS = 600;

/** Signs a text that nobody can use. */
export async function examineTransit(examination: Examination, settings: Settings, client: VaultClient): Promise<void> {
  const keys: [string, TransitKeyType][] = [
    [settings.vault_transit_key_name, settings.vault_transit_key_type],
    [settings.vault_transit_log_key_name, 'ed25519'],
  ];
  for (const [name, type] of keys) {
    const check = `vault key ${name}`;
    try {
      const key = await openTransitKey({ client, mount: settings.vault_transit_mount, name, type, create: false });
      await trySigning(key);
      await examineKeyForm(examination, { check, name, type, client, mount: settings.vault_transit_mount });
    } catch (error) {
      const isMade = error instanceof AppError && error.code === 'not_found' && settings.vault_transit_auto_create_key;
      if (isMade) examination.warn(check, `Vault has no Transit key ${name}.`, 'writ serve makes it when it starts.');
      else examination.fail(check, wordsOf(error), 'vault/set-up.sh makes the keys, and says what differs.');
    }
  }
}

interface KeyForm {
  check: string;
  name: string;
  type: string;
  client: VaultClient;
  mount: string;
}

async function examineKeyForm(examination: Examination, { check, name, type, client, mount }: KeyForm): Promise<void> {
  const state = ((await client.read(`${mount}/keys/${name}`)) ?? {}) as Record<string, unknown>;
  if (state['exportable'] === true || state['allow_plaintext_backup'] === true) {
    const message = `The key ${name} signs, and can be taken out of Vault.`;
    examination.warn(check, message, 'Rotate to a key that was made with exportable=false, as vault/set-up.sh does.');
  } else examination.ok(check, `The key ${name} (${type}) signs, and its signatures hold.`);
}

export async function examineMarkStore(
  examination: Examination,
  settings: Settings,
  client: VaultClient,
): Promise<void> {
  const check = 'vault mark';
  const { vault_kv_mount: mount } = settings;
  const hint = 'vault/set-up.sh mounts the store; the policy writ-orchestrator lets Writ read and write marks.';
  // Any token may ask about a mount in which it may do something; where it may not ask, reading tells enough.
  const answer = await client.read(`sys/internal/ui/mounts/${mount}`).catch(() => undefined);
  const { type, options } = (answer ?? {}) as { type?: string; options?: { version?: string } | null };
  if (type !== undefined && (type !== 'kv' || options?.version !== '2')) {
    examination.fail(check, `What is mounted at ${mount}/ is no KV store of version 2, which keeps the mark.`, hint);
    return;
  }
  try {
    await client.read(`${mount}/data/writ/marks/doctor`);
    examination.ok(check, `The store of the mark, ${mount}/, can be read.`);
  } catch (error) {
    examination.fail(check, `The store of the mark, ${mount}/, cannot be read: ${wordsOf(error)}`, hint);
  }
}

/** Has a certificate signed for a node that does not exist, good for minutes, and throws its key away. */
export async function examineNodeAuthority(
  examination: Examination,
  settings: Settings,
  { client, clock }: { client: VaultClient; clock: Clock },
): Promise<void> {
  const check = 'vault node certificates';
  const { vault_pki_mount: mount, vault_pki_role: role } = settings;
  const authority = createVaultAuthority({ client, mount, roles: { client: role }, clock });
  const commonName = randomUUID();
  const { keyPem, csrPem } = await createCertificateRequest(commonName);
  let chain: string;
  try {
    const root = new X509Certificate(await authority.rootPem());
    const hint = 'Make a new root before that, and give it to RabbitMQ beside the old one (rabbitmq/README.md).';
    examineEnd(
      examination,
      'vault node authority',
      { name: 'The root of node certificates', certificate: root, hint },
      clock,
    );
    const asked = { csrPem, commonName, names: [], usage: 'client', lifetimeS: testLifetimeS } as const;
    chain = (await authority.issue(asked)).certificatePem;
  } catch (error) {
    examination.fail(
      check,
      `No certificate of a node can be had: ${wordsOf(error)}`,
      'vault/set-up.sh makes the role.',
    );
    return;
  }
  examination.ok(check, `The role ${role} signs certificates of nodes.`);
  await examineNodeTrust(examination, settings, { cert: chain, key: keyPem });
}
