/** Files that settings name: whether they can be read, by whom else, and what certificates are in them. */

import { statSync } from 'node:fs';
import type { Clock } from '../../domain/clock.ts';
import { secretFiles, type Settings, type SettingsInput } from '../../settings/settings.ts';
import { readSettingFile } from '../read-setting-file.ts';
import { certificatesIn, examineAuthorities, examineEnd, keyProblem } from './certificates.ts';
import { wordsOf, type Examination } from './finding.ts';

/** A file, and the setting that names it. */
interface NamedFile {
  setting: string;
  path: string;
  /** Nobody but its owner has to read it. */
  isSecret: boolean;
}

/** Reads a file and tells of it. Answers its text; undefined where there is none. */
export function examineFile(examination: Examination, { setting, path, isSecret }: NamedFile): string | undefined {
  const check = `file ${setting}`;
  let text: string;
  let mode: number;
  try {
    text = readSettingFile(setting, path);
    mode = statSync(path).mode;
  } catch (error) {
    examination.fail(
      check,
      wordsOf(error),
      'Run writ doctor as the account that Writ runs as, and give it the right to.',
    );
    return undefined;
  }
  const chmod = `Run: chmod ${isSecret ? '600' : '644'} ${path}`;
  if (isSecret && (mode & 0o004) !== 0) {
    examination.fail(check, `Everybody on this machine can read ${path}.`, `${chmod} and replace what was in it.`);
  } else if ((mode & (isSecret ? 0o022 : 0o002)) !== 0) {
    examination.fail(check, `Others than its owner can write to ${path}.`, chmod);
  } else if (isSecret && (mode & 0o040) !== 0) {
    examination.warn(check, `The group of ${path} can read it.`, chmod);
  } else {
    examination.ok(check, `${path} can be read${isSecret ? ', by its owner alone' : ''}.`);
  }
  return text;
}

/** The files of an orchestrator. */
export function examineServeFiles(
  examination: Examination,
  settings: Settings,
  { input, clock }: { input: SettingsInput; clock: Clock },
): void {
  for (const { setting, path } of secretFiles(input)) examineFile(examination, { setting, path, isSecret: true });
  if (settings.broker === 'rabbitmq') examineRabbitMqFiles(examination, settings, clock);
  const { http_tls_certfile: certFile, http_tls_keyfile: keyFile } = settings;
  if (certFile !== '' || keyFile !== '') {
    const names = { cert: 'HTTP_TLS_CERTFILE', key: 'HTTP_TLS_KEYFILE' };
    examinePair(
      examination,
      { names, certFile, keyFile, passphrase: '', hint: 'Renew it and start writ serve again.' },
      clock,
    );
  }
  if (settings.signer === 'vault' && settings.vault_cacert !== '') {
    examineAuthorityFile(examination, 'VAULT_CACERT', settings.vault_cacert, clock);
  }
}

function examineRabbitMqFiles(examination: Examination, settings: Settings, clock: Clock): void {
  examineAuthorityFile(examination, 'RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile, clock);
  const pair = {
    names: { cert: 'RABBITMQ_SSL_CERTFILE', key: 'RABBITMQ_SSL_KEYFILE' },
    certFile: settings.rabbitmq_ssl_certfile,
    keyFile: settings.rabbitmq_ssl_keyfile,
    passphrase: settings.rabbitmq_ssl_passphrase,
    hint: 'Have a new one signed (rabbitmq/README.md) and put it in its place: the next connection takes it.',
  };
  examinePair(examination, pair, clock);
}

/** A file of authorities, and when they end. */
export function examineAuthorityFile(examination: Examination, setting: string, path: string, clock: Clock): void {
  const pem = examineFile(examination, { setting, path, isSecret: false });
  if (pem === undefined) return;
  const hint = `Put the new authority into ${path} beside the old one, before certificates are signed by it.`;
  examineAuthorities(examination, `certificate ${setting}`, { name: `The authority in ${setting}`, pem, hint }, clock);
}

interface Pair {
  names: { cert: string; key: string };
  certFile: string;
  keyFile: string;
  passphrase: string;
  hint: string;
}

function examinePair(examination: Examination, pair: Pair, clock: Clock): void {
  const { names, certFile, keyFile, passphrase, hint } = pair;
  const certPem = examineFile(examination, { setting: names.cert, path: certFile, isSecret: false });
  const keyPem = examineFile(examination, { setting: names.key, path: keyFile, isSecret: true });
  if (certPem === undefined || keyPem === undefined) return;
  const problem = keyProblem(certPem, keyPem, passphrase);
  const check = `certificate ${names.cert}`;
  if (problem !== undefined) {
    const both = `${names.cert} and ${names.key}`;
    examination.fail(
      check,
      `${both} hold no certificate and its key: ${problem}.`,
      'Name the two that belong together.',
    );
    return;
  }
  const [certificate] = certificatesIn(certPem);
  if (certificate === undefined) return;
  examineEnd(examination, check, { name: `The certificate in ${names.cert}`, certificate, hint }, clock);
}
