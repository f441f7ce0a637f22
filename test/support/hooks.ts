/** Ends what the tests of one run shared, also when some of them failed. */
import { stopTestPostgres } from './postgres.ts';

/** Called by mocha once, after the last test. */
export async function mochaGlobalTeardown(): Promise<void> {
  await stopTestPostgres();
}
