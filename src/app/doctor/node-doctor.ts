/** `writ doctor --node`: looks at all that a node stands on, from its own machine. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';
import type { Settings } from '../../settings/settings.ts';
import { secretFiles, type SettingsInput } from '../../settings/settings.ts';
import { IdentityFile, type Identity } from '../../worker/identity.ts';
import { checkOwnFolder } from '../dev-files.ts';
import { inputOf, type DoctorOptions } from './doctor.ts';
import { examineAuthorityFile, examineFile } from './files.ts';
import { examine, wordsOf, type Examination, type Finding, type Part } from './finding.ts';
import { examineNodeBroker, examineNodeCertificate } from './node-broker.ts';
import { examineOrchestrator } from './node-orchestrator.ts';
import { readSettings } from './settings.ts';
import { examineTools } from './tools.ts';

/** All findings, in the order of the parts. */
export async function runNodeDoctor(options: DoctorOptions = {}): Promise<Finding[]> {
  const { clock = systemClock } = options;
  const input = inputOf(options);
  const read = readSettings(input);
  if ('findings' in read) return read.findings;
  const { settings } = read;
  const identity = await readIdentity(settings);
  const parts: [string, Part][] = [
    [
      'files',
      (examination) => {
        examination.ok('settings', 'The settings are valid.');
        examineNodeFiles(examination, settings, { input, clock });
        return Promise.resolve();
      },
    ],
    ['tools', (examination) => examineTools(examination, settings)],
    ['data folder', (examination) => examineDataFolder(examination, settings, identity)],
    ['orchestrator', (examination) => examineOrchestrator(examination, settings, clock)],
  ];
  parts.push([
    'broker',
    async (examination) => {
      if (identity instanceof Error || identity === undefined) {
        examination.warn('broker', 'Not checked: the node has not joined, and so has no certificate.');
        return;
      }
      examineNodeCertificate(examination, identity, clock);
      await examineNodeBroker(examination, settings, identity);
    },
  ]);
  const findings = await Promise.all(parts.map(([name, part]) => examine(name, part)));
  return findings.flat();
}

/** Undefined for a node that has not joined; an error for a file that cannot be read. */
async function readIdentity(settings: Settings): Promise<Identity | Error | undefined> {
  try {
    return (await IdentityFile.open(settings.node_data_dir))?.value;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function examineNodeFiles(
  examination: Examination,
  settings: Settings,
  { input, clock }: { input: SettingsInput; clock: Clock },
): void {
  for (const { setting, path } of secretFiles(input)) examineFile(examination, { setting, path, isSecret: true });
  for (const [setting, path] of [
    ['ORCHESTRATOR_CACERT', settings.orchestrator_cacert],
    ['RABBITMQ_SSL_CAFILE', settings.rabbitmq_ssl_cafile],
  ] as const) {
    if (path !== '') examineAuthorityFile(examination, setting, path, clock);
  }
}

async function examineDataFolder(
  examination: Examination,
  settings: Settings,
  identity: Identity | Error | undefined,
): Promise<void> {
  const check = 'data folder';
  const { node_data_dir: folder, join_token: token } = settings;
  if (!existsSync(folder)) {
    examination.warn(check, `The data folder NODE_DATA_DIR (${folder}) is not there.`, 'writ work makes it.');
  } else {
    try {
      await checkOwnFolder(folder);
      examination.ok(check, `The data folder ${folder} is this account's own.`);
    } catch (error) {
      examination.fail(check, wordsOf(error), 'Run writ doctor as the account that writ work runs as.');
    }
    for (const name of ['identity.json', 'node.pem']) {
      const path = join(folder, name);
      if (existsSync(path)) examineFile(examination, { setting: name, path, isSecret: true });
    }
  }
  examineIdentity(examination, identity, token);
}

function examineIdentity(examination: Examination, identity: Identity | Error | undefined, token: string): void {
  const check = 'identity';
  if (identity instanceof Error) {
    // Other errors may quote what is in the file: the node's credential and key.
    const message = identity instanceof AppError ? identity.message : 'The identity in the data folder cannot be read.';
    examination.fail(check, message, 'docs/operating.md, "First start", says how a node joins.');
  } else if (identity !== undefined) {
    examination.ok(check, `The node has joined the log ${identity.trust.origin} as ${identity.node_id}.`);
  } else if (token === '') {
    const hint = 'Make one with "writ token create NAME --kind join" and set JOIN_TOKEN or JOIN_TOKEN_FILE.';
    examination.fail(check, 'The node has not joined, and there is no join token.', hint);
  } else examination.warn(check, 'The node has not joined yet.', 'writ work joins with the token that is set.');
}
