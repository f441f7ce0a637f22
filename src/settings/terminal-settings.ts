/** What the environment says of the terminal. */

/** Whether colours are wanted where the output is a terminal (`NO_COLOR`, `TERM=dumb`). */
export function wantsColors(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
}
