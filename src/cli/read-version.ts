/** Reads which version of Writ this is. */

import { readFileSync } from 'node:fs';

/** The version in the package's own manifest, which stands beside `src` and `dist`. */
export function readVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
