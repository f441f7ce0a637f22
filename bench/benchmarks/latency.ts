/** One task on an idle system, from before its submission until its result is answered. */

import { percentile } from '../measure/spread.ts';
import { inTurn } from '../measure/turns.ts';
import type { Benchmark } from '../session.ts';
import type { Writ } from '../systems/writ.ts';
import { noop, turnsOf } from './contenders.ts';

export const latency: Benchmark = {
  name: 'latency',
  line: 'one task on an idle system, submit to result',
  run: async (session) => {
    const samples = session.options.isQuick ? 20 : 300;
    const { writ } = await session.installation();
    const contender = {
      name: 'Writ',
      isWrit: true,
      warmUp: () => callsMs(writ, samples),
      run: async () => {
        const times = await callsMs(writ, samples);
        return { figures: { p50_ms: percentile(times, 0.5), p99_ms: percentile(times, 0.99) } };
      },
    };
    const rows = await inTurn([contender], turnsOf(session, []));
    return { name: 'latency', title: `${samples} tasks a round, one after the other`, rows, notes: [] };
  },
};

async function callsMs({ client }: Writ, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const startedMs = performance.now();
    const task = await client.submit(noop, { waitS: 10 });
    if (task.state !== 'succeeded') throw new Error(`a no-op task ${task.state}`);
    times.push(performance.now() - startedMs);
  }
  return times;
}
