/** How long it takes from typing `writ dev` to the first task done. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WritClient } from '../../src/client/client.ts';
import type { Benchmark, Session } from '../session.ts';
import { startWritProcess } from '../systems/writ-process.ts';
import { noop } from './contenders.ts';

export const start: Benchmark = {
  name: 'start',
  line: 'writ dev to the first task done, in a new folder and again, everything installed and built',
  run: async (session) => {
    // What ran before would start beside it.
    await session.release();
    const first = { name: 'new folder', isWrit: true, samples: [] as { figures: Record<string, number> }[] };
    const again = { name: 'again', isWrit: true, samples: [] as { figures: Record<string, number> }[] };
    for (let round = 0; round < session.options.rounds; round++) {
      const folder = await mkdtemp(join(tmpdir(), 'writ-bench-start-'));
      const remove = session.cleanup.add(() => rm(folder, { recursive: true, force: true }));
      for (const row of [first, again]) row.samples.push({ figures: await startOnce(folder, session) });
      await remove();
    }
    return { name: 'start', title: 'writ dev, then one no-op task', rows: [first, again], notes: [] };
  },
};

async function startOnce(folder: string, { cleanup }: Session): Promise<Record<string, number>> {
  const startedMs = performance.now();
  const process = await startWritProcess(
    {
      args: ['dev', '--data', join(folder, 'data'), '--http', '127.0.0.1:0', '--json'],
      settings: { MARK_DIR: join(folder, 'marks') },
      folder,
    },
    cleanup,
  );
  const ready_s = (performance.now() - startedMs) / 1000;
  const { url, token_file } = JSON.parse(process.said) as { url: string; token_file: string };
  const client = new WritClient({ url, token: (await readFile(token_file, 'utf8')).trim() });
  const task = await client.submit(noop, { waitS: 10 });
  if (task.state !== 'succeeded') throw new Error(`a no-op task ${task.state}`);
  const first_task_s = (performance.now() - startedMs) / 1000;
  await process.stop();
  return { first_task_s, ready_s };
}
