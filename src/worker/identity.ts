/** Who a node is: made when it joins, kept in its data folder, readable by nobody else. */

import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { joinAnswer, type JoinAnswer } from '../domain/node.ts';

/** What a join gave, less what heartbeats renew. */
const identity = joinAnswer.pick({
  node_id: true,
  credential: true,
  heartbeat_interval_s: true,
  trust: true,
  config: true,
  config_version: true,
  broker: true,
});
export type Identity = z.infer<typeof identity>;

/** The identity in a data folder; undefined where the node has not joined. */
export async function readIdentity(folder: string): Promise<Identity | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, 'identity.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return identity.parse(JSON.parse(text));
}

/** Keeps an identity, whole or not at all. */
export async function writeIdentity(folder: string, value: Identity | JoinAnswer): Promise<void> {
  const path = join(folder, 'identity.json');
  const file = await open(`${path}.next`, 'w', 0o600);
  await file.writeFile(JSON.stringify(identity.parse(value)));
  await file.sync();
  await file.close();
  await rename(`${path}.next`, path);
}
