/** Whether the log is the one that was signed: its mark against the database, both only read. */

import { existsSync } from 'node:fs';
import type { Mark } from '../../domain/mark.ts';
import { checkFence, FencedError, type FenceReason } from '../../ledger/fence.ts';
import { readHead } from '../../ledger/log-sql.ts';
import { openLocalMark } from '../../platform/keys/local-mark.ts';
import { createVaultMark } from '../../platform/keys/vault/vault-mark.ts';
import { createPool } from '../../platform/postgres/pool.ts';
import type { Settings } from '../../settings/settings.ts';
import type { Examination } from './finding.ts';
import type { VaultAccess } from './vault-access.ts';

const check = 'log and mark';

const hints: Record<FenceReason, string> = {
  log_shorter_than_mark: 'Stop, and bring the newest database back: docs/operating.md, "The mark".',
  log_differs_from_mark: 'Stop, and bring the right database back: docs/operating.md, "The mark".',
  mark_missing: 'Have the mark put back, and do not make one up: docs/operating.md, "The mark".',
  mark_unavailable: 'Mend what keeps the mark; it goes on by itself then.',
};

export async function examineFence(examination: Examination, settings: Settings, vault: VaultAccess): Promise<void> {
  const url = settings.database_url;
  if (url === '') {
    examination.warn(check, 'Not checked: DATABASE_URL is not set.');
    return;
  }
  const database = createPool({ url, max: 1, role: 'writ_service', applicationName: 'writ doctor' });
  examination.defer(() => database.close());
  const head = await readHead(database).catch(() => null);
  if (head === null) {
    examination.warn(check, 'Not checked: the log in the database cannot be read.');
    return;
  }
  if (head === undefined) {
    examination.warn(check, 'The database holds no log yet.', 'Run writ init.');
    return;
  }
  const mark = await openMark(settings, head.origin, vault).catch(() => undefined);
  if (mark === undefined) {
    examination.warn(check, 'Not checked: there is no way to what keeps the mark.');
    return;
  }
  try {
    const value = await checkFence(database, mark);
    const message =
      value === undefined
        ? `The log ${head.origin} was never signed yet.`
        : `The log ${head.origin} is the one that was signed, up to record ${(value.size - 1).toString()}.`;
    examination.ok(check, message);
  } catch (error) {
    if (!(error instanceof FencedError)) throw error;
    examination.fail(check, `${error.message} Nothing is signed and nothing runs.`, hints[error.reason]);
  }
}

async function openMark(settings: Settings, origin: string, vault: VaultAccess): Promise<Mark> {
  if (settings.signer === 'vault') {
    return createVaultMark({ client: await vault.open(), mount: settings.vault_kv_mount, origin });
  }
  const directory = settings.mark_dir;
  if (existsSync(directory)) return openLocalMark({ directory, origin });
  // Opening makes the folder; one that is not there holds no mark.
  return { read: () => Promise.resolve(undefined), write: () => Promise.reject(new Error('the mark is only read')) };
}
