/**
 * graphile-worker on PostgreSQL. Its argument: `{role: 'producer' | 'worker', url, schema, localQueue, batchesCompletion}`.
 *
 * The presets of https://worker.graphile.org/docs/performance: 24 jobs at once on 25 connections, "without batching" (the default: each
 * job is fetched and completed by a statement of its own), and "with batching" (`localQueue` of 500, completions sent together
 * without delay); between them, jobs fetched by 500 and completed one by one. `getQueueNameBatchDelay` bears on named queues alone,
 * which these jobs are not in.
 */
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { Counter, produce, serve } from './serve.mjs';

const { role, url: connectionString, schema, localQueue, batchesCompletion } = JSON.parse(process.argv[2]);
const logger = new Logger(() => () => {});

if (role === 'producer') {
  const utils = await makeWorkerUtils({ connectionString, schema, logger });
  await utils.migrate();
  const job = { identifier: 'noop', payload: {} };
  serve({ produce: (load) => produce(load, (count) => utils.addJobs(Array(count).fill(job))) });
} else {
  const counter = new Counter();
  const delay = batchesCompletion ? 0 : -1;
  const batches = {
    localQueue: { size: localQueue ? 500 : -1 },
    completeJobBatchDelay: delay,
    failJobBatchDelay: delay,
  };
  await run({
    preset: { worker: { connectionString, schema, logger, concurrentJobs: 24, maxPoolSize: 25, ...batches } },
    noHandleSignals: true,
    taskList: { noop: () => counter.add(1) },
  });
  serve(counter.functions);
}
