/** Which peers this machine has. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onPath } from '../../scripts/services/programs.ts';
import { peers, type PeerName } from './peers.ts';

/** Undefined where it can be started, else what is missing. */
export function missingOf(name: PeerName): string | undefined {
  const { program, store } = peers[name];
  if (!hasPackage(program)) return `the package ${program} is not installed`;
  return store === 'Redis' && onPath('redis-server') === undefined ? 'redis-server is not installed' : undefined;
}

/** Whether a package of bench/package.json is there. */
export function hasPackage(name: string): boolean {
  return existsSync(fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url)));
}
