/** The text form of API keys: made, checked by checksum, hashed (security.md, "API keys"). */

import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { sha256 } from '../proof/hash.ts';

/** A person, an integration, a node that joins, a node that has joined. */
export const apiKeyKinds = ['pat', 'svc', 'join', 'node'] as const;
export type ApiKeyKind = (typeof apiKeyKinds)[number];

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const form = /^writ_(pat|svc|join|node)_([0-9A-Za-z]{30})([0-9A-Za-z]{6})$/;

/** A new key, `writ_<kind>_<30 base62><6 base62 CRC32>`: 178 random bits. Shown once, never stored. */
export function generateApiKey(kind: ApiKeyKind): string {
  let random = '';
  while (random.length < 30) random += base62.charAt(randomInt(62));
  return `writ_${kind}_${random}${checksum(`writ_${kind}_${random}`)}`;
}

/** What a text claims to be; undefined where form or checksum are wrong, which costs no look-up. */
export function parseApiKey(text: string): { kind: ApiKeyKind; sha256: Buffer; prefix: string } | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const body = text.slice(0, -6);
  if (checksum(body) !== match[3]) return undefined;
  return {
    kind: match[1] as ApiKeyKind,
    sha256: sha256(text),
    prefix: body.slice(0, match[1] === undefined ? 0 : match[1].length + 10),
  };
}

/** CRC-32 (IEEE 802.3) of the key's text before it, in six base62 digits, most significant first. */
function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < 6; i++) {
    digits = base62.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}
