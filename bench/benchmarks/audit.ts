/** The audit log: records chained in a second, and verified in a second without a server. */

import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import { AuditLogger, type RecordDraft } from '../../src/ledger/audit-logger.ts';
import { readHead } from '../../src/ledger/log-sql.ts';
import { runWrit } from '../../scripts/services/writ-process.ts';
import type { Benchmark } from '../session.ts';
import type { Writ } from '../systems/writ.ts';
import { until } from '../systems/rest.ts';

const appendedAtOnce = 1000;

/** A small record that stands for no change of a table. */
const draft: RecordDraft = {
  type: 'auth.deny',
  outcome: 'deny',
  actor: { id: 'bench', kind: 'service' },
  reason: 'role_missing',
};

export const audit: Benchmark = {
  name: 'audit',
  line: 'audit records chained per second, exported, and verified offline per second (--records)',
  run: async (session) => {
    const { records } = session.options;
    const { writ } = await session.installation({}, true);
    await writ.untilAtRest();
    // Nobody chains while records are appended: what is timed is chaining alone.
    const resume = await writ.pauseOrchestrator();
    session.say(`appending ${records} records`);
    await append(writ, records);
    const chaining = chainedPerS(writ, records);
    await resume();
    const sequenced = await chaining;
    await writ.untilAtRest();

    const bundle = join(writ.folder, `bundle-${records}.tar`);
    const access = { WRIT_URL: writ.url, WRIT_TOKEN: writ.token };
    const exportMs = await tookMs(() => runWrit(['audit', 'export', '--out', bundle], access));
    const verifyMs = await tookMs(() => runWrit(['audit', 'verify', bundle, '--policy', writ.policyPath], {}));
    const { size = 0 } = (await readHead(writ.database)) ?? {};
    const perS = (ms: number): Record<string, number> => ({ records_per_s: (size * 1000) / ms });
    const row = (name: string, figures: Record<string, number>) => ({ name, isWrit: true, samples: [{ figures }] });
    const bytes = (await stat(bundle)).size;
    return {
      name: 'audit',
      title: `${records.toLocaleString('en')} records appended, ${size.toLocaleString('en')} in the log`,
      rows: [
        row('chained', { records_per_s: sequenced }),
        row('exported', { ...perS(exportMs), bytes_per_record: bytes / size }),
        row('verified offline', perS(verifyMs)),
      ],
      notes: ['export and verification are whole commands, start of the process included'],
    };
  },
};

async function append({ database }: Writ, records: number): Promise<void> {
  const head = await readHead(database);
  if (head === undefined) throw new Error('there is no log yet');
  const logger = new AuditLogger(head.origin);
  for (let left = records; left > 0; left -= appendedAtOnce) {
    await logger.append(database, Array<RecordDraft>(Math.min(left, appendedAtOnce)).fill(draft));
  }
}

/** From the last look at which nothing was chained to the first at which all is: the start of an orchestrator is not in it. */
async function chainedPerS({ database }: Writ, records: number): Promise<number> {
  const sizeOf = async (): Promise<number> => (await readHead(database))?.size ?? 0;
  const begin = await sizeOf();
  let beganMs = performance.now();
  const isChained = async (): Promise<boolean> => {
    const lookMs = performance.now();
    const size = await sizeOf();
    if (size === begin) beganMs = lookMs;
    return size >= begin + records;
  };
  await until(isChained, { everyMs: 20, what: 'chaining' });
  return (records * 1000) / (performance.now() - beganMs);
}

/** The start of a process is in it. */
async function tookMs(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
