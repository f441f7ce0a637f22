/** Files that settings name. */

import { readFileSync } from 'node:fs';
import { AppError } from '../domain/error.ts';

/** The text of a file. Fails `invalid` with the setting's name where it is not given or cannot be read. */
export function readSettingFile(setting: string, path: string): string {
  if (path === '') {
    throw new AppError('invalid', `${setting} is not set, and is needed here.`, { reason: 'invalid_settings' });
  }
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    throw new AppError('invalid', `${setting}: ${path} cannot be read${code}.`, { reason: 'invalid_settings' }, error);
  }
}

/** As above; undefined where the setting is empty. */
export function readOptionalFile(setting: string, path: string): string | undefined {
  return path === '' ? undefined : readSettingFile(setting, path);
}
