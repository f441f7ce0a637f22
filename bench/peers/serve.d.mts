/** Lets another process call functions here, over the channel of `fork`; see serve.mjs. */
export function serve(functions: Record<string, (options: never) => unknown>): void;

/** Milliseconds of a clock that all processes of this machine share. */
export function nowMs(): number;
