/**
 * pg-boss on PostgreSQL. Its argument: `{role: 'producer' | 'worker', url, schema}`.
 *
 * Jobs come by `insert` of many and are taken `batchSize` at a time (https://timgit.github.io/pg-boss/#/./api/workers): the handler gets
 * and completes a batch as one. Workers poll every half second at best; `notifyWorker` lets one fetch again at once, which its
 * handler asks for each time, so that a worker waits only where nothing is left. Several workers: `work` called several times.
 */
import PgBoss from 'pg-boss';
import { Counter, produce, serve } from './serve.mjs';

const batchSize = 500;
const workers = 4;
const queue = 'noop';

const { role, url: connectionString, schema } = JSON.parse(process.argv[2]);
const isWorker = role === 'worker';
const boss = new PgBoss({ connectionString, schema, max: 10, supervise: isWorker, schedule: false });
boss.on('error', (error) => console.error(error));
await boss.start();
await boss.createQueue(queue);

if (isWorker) {
  const counter = new Counter();
  for (let i = 0; i < workers; i++) {
    let id;
    id = await boss.work(queue, { batchSize, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      counter.add(jobs.length);
      boss.notifyWorker(id);
    });
  }
  serve(counter.functions);
} else {
  const job = { name: queue, data: {} };
  serve({ produce: (load) => produce(load, (count) => boss.insert(Array(count).fill(job))) });
}
