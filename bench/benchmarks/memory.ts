/** Whether the memory of an orchestrator grows with the tasks that it has seen. */

import { rssMb } from '../measure/processes.ts';
import type { Benchmark } from '../session.ts';
import { runWrit, warmUp } from './contenders.ts';

const tasksNormal = 200_000;
const samplesNormal = 20;
const samplesQuick = 4;
/** Growth over the whole run below which it is called flat, as a share of the mean. */
const flatShare = 0.1;

export const memory: Benchmark = {
  name: 'memory',
  line: 'memory of the orchestrator over many tasks (--tasks)',
  run: async (session) => {
    const tasks = session.tasks(tasksNormal);
    const step = Math.ceil(tasks / (session.options.isQuick ? samplesQuick : samplesNormal));
    const installation = await session.installation({}, true);
    await warmUp(session, installation);
    const points: { tasks: number; mb: number }[] = [];
    for (let done = 0; done < tasks; done += step) {
      await runWrit(installation, { tasks: Math.min(step, tasks - done) });
      points.push({ tasks: done + step, mb: await rssMb(installation.writ.orchestratorPid()) });
    }
    // The first quarter is left out: the heap finds its size there.
    const late = points.slice(Math.floor(points.length / 4));
    const slope = slopeOf(late);
    const values = points.map(({ mb }) => mb);
    const growth = slope * (late.at(-1)!.tasks - late[0]!.tasks);
    const mean = late.reduce((sum, { mb }) => sum + mb, 0) / late.length;
    const isFlat = growth < flatShare * mean;
    const figures = {
      rss_mb: values.at(-1)!,
      first_mb: values[0]!,
      most_mb: Math.max(...values),
      mb_per_100k_tasks: slope * 100_000,
    };
    return {
      name: 'memory',
      title: `${tasks.toLocaleString('en')} no-op tasks, resident memory of the orchestrator after every ${step.toLocaleString('en')}`,
      rows: [{ name: 'Writ', isWrit: true, samples: [{ figures }] }],
      notes: [
        isFlat
          ? 'flat'
          : `grows: ${growth.toFixed(1)} MiB over the last three quarters, of ${mean.toFixed(0)} in the mean`,
        `MiB: ${values.map((mb) => mb.toFixed(0)).join(' ')}`,
      ],
    };
  },
};

/** MiB per task, by least squares. */
function slopeOf(points: readonly { tasks: number; mb: number }[]): number {
  const n = points.length;
  const meanX = points.reduce((sum, { tasks }) => sum + tasks, 0) / n;
  const meanY = points.reduce((sum, { mb }) => sum + mb, 0) / n;
  const over = points.reduce((sum, { tasks, mb }) => sum + (tasks - meanX) * (mb - meanY), 0);
  const under = points.reduce((sum, { tasks }) => sum + (tasks - meanX) ** 2, 0);
  return under === 0 ? 0 : over / under;
}
