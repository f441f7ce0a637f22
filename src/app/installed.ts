/** This installation: its files and its version. */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Settings } from '../settings/settings.ts';
import { loadCatalog, type Catalog } from '../tools/catalog.ts';

/** A folder or file of this installation. */
export function installed(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

/** The version of this installation. */
export async function installedVersion(): Promise<string> {
  return (JSON.parse(await readFile(installed('package.json'), 'utf8')) as { version: string }).version;
}

/** The catalog of this installation, and those that the settings name. */
export function installedCatalog({ tools_path }: Pick<Settings, 'tools_path'>): Promise<Catalog> {
  return loadCatalog([installed('tools'), ...tools_path.split(':').filter((dir) => dir !== '')]);
}
