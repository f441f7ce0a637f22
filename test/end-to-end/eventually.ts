/** Waits for what background work brings about. */

/** The first answer of `probe` that is not undefined; fails after the time. */
export async function eventually<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 20_000,
): Promise<T> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > untilMs) throw new Error('it did not come about in time');
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
