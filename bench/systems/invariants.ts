/** A process that checks what a run of Writ has left: it may need much memory, and time that others do not have. */

import { createPool } from '../../src/platform/postgres/pool.ts';
import { checkInvariants } from '../../test/support/invariants.ts';
import { serve } from '../peers/serve.mjs';

/** Reading a whole log takes its time. */
const timeoutMs = 3_600_000;

serve({
  check: async ({ url }: { url: string }): Promise<string[]> => {
    const database = createPool({ url, max: 2, statementTimeoutMs: timeoutMs });
    const { problems } = await checkInvariants(database);
    await database.close();
    return problems;
  },
});
