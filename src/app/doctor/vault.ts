/** Vault or OpenBao: reachable, unsealed, and whether it lets Writ in. */

import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import type { VaultClient } from '../../platform/keys/vault/client.ts';
import type { Settings } from '../../settings/settings.ts';
import { readOptionalFile } from '../read-setting-file.ts';
import { examineEnd } from './certificates.ts';
import { examineClock, readDateHeader } from './clock-skew.ts';
import { wordsOf, type Examination } from './finding.ts';
import { callHttp, callProblem, type HttpAnswer } from './http-call.ts';
import { isWrappedOnly, type VaultAccess } from './vault-access.ts';
import { examineMarkStore, examineNodeAuthority, examineTransit } from './vault-engines.ts';

const check = 'vault';
/** Every state is an answer with status 200. */
const healthPath = '/v1/sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200';
const lastingS = 7 * 86_400;

export async function examineVault(
  examination: Examination,
  settings: Settings,
  { vault, clock }: { vault: VaultAccess; clock: Clock },
): Promise<void> {
  if (!(await examineServer(examination, settings, clock))) {
    examination.warn('vault login', 'Not checked: Vault does not take calls.');
    return;
  }
  if (isWrappedOnly(settings)) {
    await examineWrapped(examination, settings);
    return;
  }
  let client: VaultClient;
  try {
    client = await vault.open();
  } catch (error) {
    const hint = 'vault/README.md, "Orchestrators", says how an orchestrator logs in.';
    examination.fail('vault login', wordsOf(error), hint);
    return;
  }
  await examineToken(examination, settings, client);
  await examineTransit(examination, settings, client);
  await examineMarkStore(examination, settings, client);
  await examineNodeAuthority(examination, settings, { client, clock });
}

/** False where nothing more can be asked. */
async function examineServer(examination: Examination, settings: Settings, clock: Clock): Promise<boolean> {
  if (!settings.vault_addr.startsWith('https:') && settings.vault_require_https) {
    const message = 'VAULT_ADDR is not https://.';
    examination.fail(check, message, 'Use TLS, or set VAULT_REQUIRE_HTTPS=false for a test.');
    return false;
  }
  const beforeMs = clock.now();
  let answer: HttpAnswer;
  try {
    answer = await callVault(settings, healthPath);
  } catch (error) {
    const authority = settings.vault_cacert === '' ? "the system's authorities: set VAULT_CACERT" : 'VAULT_CACERT';
    const words = callProblem(error, { address: 'VAULT_ADDR', authority });
    examination.fail(check, `Vault ${words}.`, 'Look whether it runs, and at VAULT_ADDR.');
    return false;
  }
  const afterMs = clock.now();
  const isGood = examineHealth(examination, answer);
  if (answer.certificate !== undefined) {
    const named = { name: "Vault's certificate", certificate: new X509Certificate(answer.certificate) };
    examineEnd(examination, 'vault certificate', { ...named, hint: 'Renew it on Vault.' }, clock);
  }
  const date = readDateHeader(answer.date);
  if (date !== undefined) examineClock(examination, 'vault clock', 'Vault', { ...date, beforeMs, afterMs });
  return isGood;
}

function examineHealth(examination: Examination, { body }: HttpAnswer): boolean {
  let health: Record<string, unknown> = {};
  try {
    health = JSON.parse(body) as Record<string, unknown>;
  } catch {
    // Told below.
  }
  const { initialized, sealed, version } = health;
  if (typeof sealed !== 'boolean' || typeof initialized !== 'boolean') {
    const message = 'What answers at VAULT_ADDR does not answer as Vault does.';
    examination.fail(check, message, 'Look for a proxy or a login page between.');
    return false;
  }
  if (!initialized) {
    examination.fail(check, 'Vault is not initialised.', 'Run: bao operator init, then vault/set-up.sh');
    return false;
  }
  if (sealed) {
    examination.fail(check, 'Vault is sealed: nothing is signed until it is not.', 'Run: bao operator unseal');
    return false;
  }
  examination.ok(check, `Vault ${String(version)} answers and is unsealed.`);
  return true;
}

/** Looks at the wrapping token without using it up: unwrapping is for `writ serve`, once. */
async function examineWrapped(examination: Examination, settings: Settings): Promise<void> {
  const name = 'vault login';
  const { status, body } = await callVault(settings, '/v1/sys/wrapping/lookup', {
    token: settings.vault_wrapped_secret_id,
  });
  if (status !== 200) {
    const message = 'The wrapped secret id in VAULT_WRAPPED_SECRET_ID has expired or was unwrapped.';
    examination.fail(name, message, 'If writ serve did not unwrap it, revoke what it held. Make a new one.');
    return;
  }
  const { creation_path: path } = (JSON.parse(body) as { data: { creation_path?: unknown } }).data;
  const message = `The wrapped secret id is good and was made at ${String(path)}.`;
  const hint = 'It is unwrapped once, by writ serve. For the rest of the checks give writ doctor a VAULT_SECRET_ID.';
  examination.warn(name, `${message} Keys, mark and node certificates were not checked.`, hint);
}

function callVault(settings: Settings, path: string, body?: object): Promise<HttpAnswer> {
  const { vault_addr: address, vault_namespace: namespace } = settings;
  return callHttp({
    url: `${address.replace(/\/$/, '')}${path}`,
    headers: {
      'x-vault-request': 'true',
      ...(body === undefined || namespace === '' ? {} : { 'x-vault-namespace': namespace }),
    },
    ca: readOptionalFile('VAULT_CACERT', settings.vault_cacert),
    verifyTls: settings.vault_verify_tls,
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
}

async function examineToken(examination: Examination, settings: Settings, client: VaultClient): Promise<void> {
  const name = 'vault login';
  const token = (await client.read('auth/token/lookup-self').catch(deniedIsNothing)) as
    { ttl?: number; renewable?: boolean; policies?: string[] } | undefined;
  if (token === undefined) {
    examination.ok(name, 'Vault lets Writ in; its token may not be asked about itself.');
    return;
  }
  const { ttl = 0, renewable = false, policies = [] } = token;
  if (policies.includes('root')) {
    const message = 'The token may do everything in Vault.';
    examination.warn(name, message, 'Use the AppRole of vault/set-up.sh, whose policy gives what Writ needs.');
  } else if (settings.vault_token !== '' && !renewable && ttl > 0) {
    const message = `The token in VAULT_TOKEN cannot be renewed and ends in ${duration(ttl)}.`;
    const hint = 'Use the AppRole of vault/set-up.sh, or a periodic token.';
    if (ttl < lastingS) examination.warn(name, message, hint);
    else examination.ok(name, message);
  } else {
    const life = ttl === 0 ? 'does not end' : `lives ${duration(ttl)}${renewable ? ' and is renewed' : ''}`;
    examination.ok(name, `Vault lets Writ in; its token ${life}.`);
  }
  await examineExcess(examination, settings, client);
}

/** Paths at which Writ needs nothing, and whoever may do something there could undo what Vault is for. */
async function examineExcess(examination: Examination, settings: Settings, client: VaultClient): Promise<void> {
  const { vault_transit_mount: transit, vault_transit_key_name: key, vault_transit_log_key_name: log } = settings;
  const paths = [
    ...[key, log].flatMap((name) => [`${transit}/keys/${name}/config`, `${transit}/export/signing-key/${name}`]),
    `${settings.vault_kv_mount}/metadata/writ/marks/x`,
    `${settings.vault_kv_mount}/destroy/writ/marks/x`,
    `${settings.vault_pki_mount}/roles/${settings.vault_pki_role}`,
    'sys/policies/acl/writ-orchestrator',
  ];
  const answer = await client.write('sys/capabilities-self', { paths }).catch(deniedIsNothing);
  if (typeof answer !== 'object' || answer === null) return;
  const capabilities = answer as Record<string, unknown>;
  const open = paths.filter((path) => {
    const list = capabilities[path];
    return Array.isArray(list) && list.length > 0 && !list.includes('deny');
  });
  if (open.length === 0) return;
  const message = `Writ's token may do more than it needs, at ${open.slice(0, 3).join(', ')}.`;
  examination.warn('vault policy', message, 'Give it the policy vault/writ-orchestrator.hcl alone.');
}

function deniedIsNothing(error: unknown): undefined {
  if (error instanceof AppError && error.code === 'forbidden') return undefined;
  throw error;
}

function duration(seconds: number): string {
  if (seconds >= 2 * 86_400) return `${Math.floor(seconds / 86_400).toString()} days`;
  return seconds >= 7200
    ? `${Math.floor(seconds / 3600).toString()} hours`
    : `${Math.ceil(seconds / 60).toString()} minutes`;
}
