/** Keys in local files, of which none is made here. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { openLocalAuthority } from '../../platform/keys/local-authority.ts';
import { openLocalSigner } from '../../platform/keys/local-signer.ts';
import { openLocalSigningKey } from '../../platform/keys/local-signing-key.ts';
import type { Settings } from '../../settings/settings.ts';
import { wordsOf, type Examination } from './finding.ts';
import { trySigning } from './try-signing.ts';

const check = 'keys';

export async function examineLocalKeys(examination: Examination, settings: Settings, clock: Clock): Promise<void> {
  const { keys_dir: folder } = settings;
  if (folder === '') {
    examination.warn(check, 'Not checked: KEYS_DIR is not set.');
    return;
  }
  if (!existsSync(folder)) {
    examination.warn(check, `The folder KEYS_DIR (${folder}) is not there.`, 'writ serve makes it, with new keys.');
    return;
  }
  const create = false;
  const attempts: [string, () => Promise<unknown>][] = [
    ['log', () => openLocalSigner({ path: join(folder, 'log.pem'), algorithm: 'EdDSA', create })],
    [
      'manifest',
      async () =>
        trySigning(await openLocalSigningKey({ path: join(folder, 'manifest.pem'), algorithm: 'ES256', create })),
    ],
    [
      'authority',
      () =>
        openLocalAuthority({
          ...{ keyPath: join(folder, 'ca.pem'), certificatePath: join(folder, 'ca.crt') },
          ...{ create, clock },
        }),
    ],
  ];
  for (const [name, attempt] of attempts) {
    try {
      await attempt();
      examination.ok(`key ${name}`, `The key of the ${name} in KEYS_DIR can be used, and by its owner alone.`);
    } catch (error) {
      examination.fail(`key ${name}`, wordsOf(error), 'Put the file back, or mend its mode.');
    }
  }
}
