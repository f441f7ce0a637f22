/** Submissions in batches of 100: how many tasks are accepted and finished in a second. */

import { inTurn } from '../measure/turns.ts';
import type { Benchmark } from '../session.ts';
import { runWrit, turnsOf } from './contenders.ts';

const tasksNormal = 30_000;
const load = { size: 100, atOnce: 4 };

export const batch100: Benchmark = {
  name: 'batch100',
  line: 'submissions in batches of 100 over HTTP, four calls at once',
  run: async (session) => {
    const tasks = session.tasks(tasksNormal);
    const installation = await session.installation();
    const contender = {
      name: 'Writ',
      isWrit: true,
      warmUp: () => runWrit(installation, { ...load, tasks: session.options.warmUpTasks }),
      run: async () => {
        const { report, elapsedMs, cpu } = await runWrit(installation, { ...load, tasks });
        const accepted_per_s = (tasks * 1000) / (report.endedMs - report.beganMs);
        return { figures: { tasks_per_s: (tasks * 1000) / elapsedMs, accepted_per_s }, cpu };
      },
    };
    const rows = await inTurn([contender], turnsOf(session, []));
    return { name: 'batch100', title: `${tasks.toLocaleString('en')} no-op tasks in batches of 100`, rows, notes: [] };
  },
};
