/** Tries whether a key signs, on a text that nobody can use. */

import type { SigningKey } from '../../domain/signer.ts';

/** No manifest (it has no dots) and no checkpoint (it has no line feed). */
const testText = Buffer.from('writ doctor');

/** Signs with the newest version, which verifies what it answers. Fails as the key does. */
export async function trySigning(key: SigningKey): Promise<void> {
  const latest = (await key.versions()).at(-1);
  await (await key.signer(latest?.version ?? 1)).sign([testText]);
}
