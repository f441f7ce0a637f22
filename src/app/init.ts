/** `writ init`: prepares an installation once, with nothing but its settings: schema, log, first credential, policy. */

import { systemClock } from '../domain/clock.ts';
import { newId, type BootId } from '../domain/ids.ts';
import { openLog, openOrigin } from '../ledger/open-log.ts';
import { createLog } from '../platform/observability/log.ts';
import { loadSettings, type SettingsInput } from '../settings/settings.ts';
import { ensureAdminToken, ensurePolicy } from './dev-files.ts';
import { openKeys } from './keys.ts';
import { openDatabase } from './serve.ts';
import { startOn } from './stack.ts';

export interface InitOptions {
  config?: string | undefined;
  environment?: SettingsInput['environment'];
  /** File for the administrator's token; one that is good already stays. */
  tokenPath: string;
  /** File for the policy by which the log is verified; one that is there stays. */
  policyPath: string;
}

/** Doing it twice changes nothing. Whoever may write to the database and the keys is the administrator. */
export function initialize(options: InitOptions): Promise<{ origin: string; vkey: string }> {
  return startOn(async (stack) => {
    const { settings } = loadSettings({
      file: options.config,
      ...(options.environment === undefined ? {} : { environment: options.environment }),
    });
    const database = await openDatabase(settings, stack);
    const keys = await openKeys(settings, createLog('warn'));
    stack.push(() => {
      keys.close();
      return Promise.resolve();
    });
    const origin = await openOrigin(database, `writ.local/${settings.cluster_name}`);
    const { vkey, audit } = await openLog({ database, origin, logSigner: keys.logSigner, clock: systemClock });
    await ensureAdminToken(options.tokenPath, { database, audit, clock: systemClock, processId: newId<BootId>() });
    await ensurePolicy(options.policyPath, vkey);
    await stack.unwind();
    return { origin, vkey };
  });
}
