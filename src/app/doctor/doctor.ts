/** `writ doctor`: looks at all that an orchestrator stands on, changes nothing, and says in words what is wrong. */

import { systemClock, type Clock } from '../../domain/clock.ts';
import type { Settings, SettingsInput } from '../../settings/settings.ts';
import { examineDatabase } from './database.ts';
import { examineFence } from './fence.ts';
import { examineServeFiles } from './files.ts';
import { examine, type Finding, type Part } from './finding.ts';
import { examineLocalKeys } from './local-keys.ts';
import { examineRabbitMq } from './rabbitmq.ts';
import { examineManagement } from './rabbitmq-management.ts';
import { examineServing } from './serving.ts';
import { examineServeSettings, readSettings } from './settings.ts';
import { examineTools } from './tools.ts';
import { examineVault } from './vault.ts';
import { vaultAccess } from './vault-access.ts';

export interface DoctorOptions {
  /** Path of a settings file. */
  config?: string | undefined;
  environment?: SettingsInput['environment'];
  clock?: Clock;
  /** Where a listener of RabbitMQ's without TLS would be; 5672 where it is not given. */
  plainAmqpPort?: number;
}

/** All findings, in the order of the parts. Never takes longer than the slowest part may. */
export async function runDoctor(options: DoctorOptions = {}): Promise<Finding[]> {
  const input = inputOf(options);
  const read = readSettings(input);
  if ('findings' in read) return read.findings;
  const { settings } = read;
  const vault = vaultAccess(settings);
  try {
    const parts = partsOf(settings, { ...options, input, vault });
    const findings = await Promise.all(parts.map(([name, part]) => examine(name, part)));
    return findings.flat();
  } finally {
    await vault.close();
  }
}

/** What is looked at, and by what. */
type Context = DoctorOptions & { input: SettingsInput; vault: ReturnType<typeof vaultAccess> };

function partsOf(settings: Settings, context: Context): [string, Part][] {
  const { clock = systemClock, input, vault } = context;
  return [
    [
      'settings',
      (examination) => {
        examineServeSettings(examination, settings);
        return Promise.resolve();
      },
    ],
    [
      'files',
      (examination) => {
        examineServeFiles(examination, settings, { input, clock });
        return Promise.resolve();
      },
    ],
    ['tools', (examination) => examineTools(examination, settings)],
    ['postgresql', (examination) => examineDatabase(examination, settings.database_url, clock)],
    ['rabbitmq', (examination) => examineRabbitMq(examination, settings, { clock, plainPort: context.plainAmqpPort })],
    ['rabbitmq management', (examination) => examineManagement(examination, settings)],
    settings.signer === 'vault'
      ? ['vault', (examination) => examineVault(examination, settings, { vault, clock })]
      : ['keys', (examination) => examineLocalKeys(examination, settings, clock)],
    ['log and mark', (examination) => examineFence(examination, settings, vault)],
    ['writ serve', (examination) => examineServing(examination, settings)],
  ];
}

/** Where the settings come from. */
export function inputOf({ config, environment }: DoctorOptions): SettingsInput {
  return { file: config, ...(environment === undefined ? {} : { environment }) };
}
