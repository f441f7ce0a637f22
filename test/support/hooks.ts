/** Ends what the tests of one run shared, also when some of them failed. */
import { stopTestPostgres } from './postgres.ts';
import { stopTestServices } from './services.ts';

/** Called by mocha once, after the last test. */
export async function mochaGlobalTeardown(): Promise<void> {
  await Promise.all([stopTestPostgres(), stopTestServices()]);
}
