/** Mixed work for the tests of faults: made from a seed, so that a run can be repeated. */

/** Numbers in [0, 1) that follow from the seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Submission {
  tool: string;
  action: string;
  payload: Record<string, unknown>;
  priority?: number;
  retry?: { max_attempts: number; initial_s: number; max_s: number };
  run_at?: string;
}

/** One task of a kind that chance chooses. A destructive one leaves the line `line` in `file`. */
export function mixedTask(random: () => number, line: string, file: string, port: number): Submission {
  const kind = random();
  const priority = random() < 0.3 ? { priority: Math.floor(random() * 101) } : {};
  if (kind < 0.35) return { tool: 'noop', action: 'run', payload: {}, ...priority };
  if (kind < 0.55) {
    return {
      tool: 'noop',
      action: 'run',
      payload: { sleep_ms: Math.floor(random() * 300), output: line },
      ...priority,
    };
  }
  if (kind < 0.62) {
    const retry = { max_attempts: 1 + Math.floor(random() * 4), initial_s: 0.1, max_s: 0.5 };
    return { tool: 'noop', action: 'run', payload: { fail: 'retryable' }, retry, ...priority };
  }
  if (kind < 0.65) return { tool: 'noop', action: 'run', payload: { fail: true }, ...priority };
  if (kind < 0.7) {
    const run_at = new Date(Date.now() + random() * 3000).toISOString();
    return { tool: 'noop', action: 'run', payload: {}, run_at, ...priority };
  }
  if (kind < 0.9) {
    const payload = { file, line, ...(random() < 0.5 ? { sleep_ms: Math.floor(random() * 300) } : {}) };
    return { tool: 'noop', action: 'append', payload, ...priority };
  }
  return { tool: 'tcp', action: 'connect', payload: { host: '127.0.0.1', port }, ...priority };
}
