/** Reads what an export needs of a record's line; a damaged line is exported as it is, for the verifier to name it. */

/** `data` of a record; empty where the line does not have it. */
export function dataOfLine(line: Buffer): Readonly<Record<string, unknown>> {
  try {
    const { data } = JSON.parse(line.toString('utf8')) as { data?: unknown };
    return typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
