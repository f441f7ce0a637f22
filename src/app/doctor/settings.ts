/** Whether the settings are valid, and fit an orchestrator. */

import { AppError } from '../../domain/error.ts';
import { loadSettings, type Settings, type SettingsInput } from '../../settings/settings.ts';
import { isLoopback, parseListen } from '../listeners.ts';
import type { Examination, Finding } from './finding.ts';

type Problem = Omit<Finding, 'check'> & { level: 'warn' | 'fail' };

/** The settings, or what is wrong with them: without them nothing else can be looked at. */
export function readSettings(input: SettingsInput): { settings: Settings } | { findings: Finding[] } {
  try {
    return { settings: loadSettings(input).settings };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const errors = error.details.errors ?? [{ path: 'settings', message: error.message }];
    const hint = 'docs/settings.md describes each. Nothing else was checked.';
    return {
      findings: errors.map(({ path, message }) => ({
        ...{ check: 'settings', level: 'fail', hint },
        message: `${path}: ${message}.`,
      })),
    };
  }
}

/** What `writ serve` would refuse, and what it would do and is unsafe. */
export function examineServeSettings(examination: Examination, settings: Settings): void {
  const problems = [...partProblems(settings), ...plaintextProblems(settings)];
  for (const { level, message, hint } of problems) examination[level]('settings', message, hint);
  if (problems.length === 0) examination.ok('settings', 'The settings are valid, and fit writ serve.');
}

function partProblems(settings: Settings): Problem[] {
  const problems: Problem[] = [];
  if (settings.database_url === '') {
    const hint = 'Set it, or DATABASE_URL_FILE: postgres://USER:PASSWORD@HOST/DATABASE.';
    problems.push({ level: 'fail', message: 'DATABASE_URL is not set.', hint });
  }
  if (settings.broker !== 'rabbitmq') {
    const message = 'BROKER is in-process, which is for writ dev alone.';
    problems.push({ level: 'fail', message, hint: 'Unset it: writ serve needs rabbitmq.' });
  }
  if (settings.signer === 'local' && settings.keys_dir === '') {
    const message = 'KEYS_DIR is not set, and SIGNER=local needs it.';
    problems.push({ level: 'fail', message, hint: 'Name a folder that the account of writ serve alone can open.' });
  }
  if (settings.signer === 'vault' && !settings.vault_verify_tls) {
    const message = 'VAULT_VERIFY_TLS is false: whoever stands between Writ and Vault can be Vault.';
    problems.push({ level: 'warn', message, hint: 'Unset it, and name the authority in VAULT_CACERT.' });
  }
  if (settings.signer === 'vault' && settings.vault_addr.startsWith('http:')) {
    const message = 'VAULT_ADDR is not https://: the token crosses the network unencrypted.';
    problems.push({ level: 'warn', message, hint: 'Use TLS.' });
  }
  return problems;
}

/** Listeners off loopback without TLS. BROKER_AUTH_LISTEN and METRICS_LISTEN may be empty. */
function plaintextProblems(settings: Settings): Problem[] {
  if (settings.http_tls_certfile !== '') return [];
  const listeners = [
    ['HTTP_LISTEN', settings.http_listen],
    ['BROKER_AUTH_LISTEN', settings.broker_auth_listen],
    ['METRICS_LISTEN', settings.metrics_listen],
  ] as const;
  return listeners
    .filter(([, address]) => address !== '' && !isLoopback(parseListen(address).host))
    .map(([setting, address]) => {
      const message = `${setting} (${address}) is not on loopback, and what it takes crosses the network unencrypted.`;
      const hint = 'Listen on 127.0.0.1, or set HTTP_TLS_CERTFILE and HTTP_TLS_KEYFILE.';
      return settings.http_allow_plaintext ? { level: 'warn', message, hint } : { level: 'fail', message, hint };
    });
}
