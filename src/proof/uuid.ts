/** UUIDs as text and as bytes (RFC 9562 §4); many are written for each task that is submitted and ordered. */

/** Where the two digits of each byte stand. */
const digitsAt = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const digits = Buffer.from('0123456789abcdef');
const scratch = Buffer.from('00000000-0000-0000-0000-000000000000');

/** Lower-case text of 16 bytes. */
export function uuidText(bytes: Uint8Array): string {
  let from = 0;
  for (const at of digitsAt) {
    const byte = bytes[from++] ?? 0;
    scratch[at] = digits[byte >> 4] ?? 0;
    scratch[at + 1] = digits[byte & 15] ?? 0;
  }
  return scratch.toString('latin1');
}

/** Writes the 16 bytes of a UUID in lower-case text at a place; the caller vouches for its form. */
export function writeUuid(to: Buffer, uuid: string, at: number): void {
  let place = at;
  for (const from of digitsAt) {
    to[place++] = (digitOf(uuid.charCodeAt(from)) << 4) | digitOf(uuid.charCodeAt(from + 1));
  }
}

/** Value of `0` to `9` and `a` to `f`. */
function digitOf(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}
