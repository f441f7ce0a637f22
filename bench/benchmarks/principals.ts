/** Principals that submit. */

import { randomUUID } from 'node:crypto';
import type { Writ } from '../systems/writ.ts';

/** Tokens of so many new principals that may submit. */
export async function principals({ client }: Writ, count: number): Promise<string[]> {
  const tokens: string[] = [];
  const run = randomUUID().slice(0, 8);
  for (let n = 1; n <= count; n++) {
    const request = { name: `bench-${run}-${n}`, kind: 'svc' as const, roles: ['operator'], expires_in_s: 86_400 };
    tokens.push((await client.createToken(request)).token);
  }
  return tokens;
}
