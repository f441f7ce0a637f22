/** Forms of ids and names inside signed text (formats.md rule 2). */

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const timestamp = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/;
/** Every month has so many days: only later ones are looked up. */
const surelyThere = 28;
const toolDigest = /^sha256:[0-9a-f]{64}$/;

/** The UUID before all others (RFC 9562 §5.9). */
export const nilUuid = '00000000-0000-0000-0000-000000000000';

/** A lower-case hyphenated UUID of any version. */
export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && uuid.test(text);
}

/** RFC 3339 UTC with exactly three digits and `Z`, and a day that exists. */
export function isTimestamp(text: unknown): text is string {
  if (typeof text !== 'string' || !timestamp.test(text)) return false;
  if (Number(text.slice(8, 10)) <= surelyThere) return true;
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text;
}

/** `sha256:` and 64 lower-case hex digits. */
export function isToolDigest(text: unknown): text is string {
  return typeof text === 'string' && toolDigest.test(text);
}
