/** Colours: on a terminal only, and there only where they are wanted. */

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const;
export type Tint = keyof typeof codes;

/** Colours a text that is safe already. */
export type Style = (tint: Tint, text: string) => string;

export function createStyle(isColored: boolean): Style {
  return isColored ? (tint, text) => `\u001b[${codes[tint].toString()}m${text}\u001b[0m` : (_tint, text) => text;
}

const tints: Readonly<Record<string, Tint>> = {
  succeeded: 'green',
  active: 'green',
  success: 'green',
  allow: 'green',
  failed: 'red',
  denied: 'red',
  deny: 'red',
  failure: 'red',
  error: 'red',
  in_doubt: 'red',
  timed_out: 'red',
  unhealthy: 'red',
  cancelled: 'yellow',
  expired: 'yellow',
  waiting: 'yellow',
  draining: 'yellow',
  running: 'cyan',
  dispatched: 'cyan',
  queued: 'blue',
};

/** The colour of a state, status or outcome; none for one that is not known. */
export function tintOf(word: string): Tint | undefined {
  return Object.hasOwn(tints, word) ? tints[word] : undefined;
}
