/**
 * BullMQ on Redis. Its argument: `{role: 'producer' | 'worker', port, queue}`.
 *
 * As https://docs.bullmq.io/guide/going-to-production has it: Redis with an append-only file synced every second and no eviction, workers
 * with `maxRetriesPerRequest: null`, and a bounded number of finished jobs kept. Concurrency 100 in one worker:
 * https://docs.bullmq.io/guide/workers/concurrency
 */
import { Queue, Worker } from 'bullmq';
import { Counter, produce, serve } from './serve.mjs';

const { role, port, queue: name } = JSON.parse(process.argv[2]);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const quiet = () => {};

if (role === 'producer') {
  const queue = new Queue(name, { connection });
  queue.on('error', quiet);
  await queue.waitUntilReady();
  const job = { name: 'noop', data: {} };
  serve({
    produce: (load) =>
      produce(load, (count) => (count === 1 ? queue.add('noop', {}) : queue.addBulk(Array(count).fill(job)))),
  });
} else {
  const counter = new Counter();
  const worker = new Worker(name, async () => {}, { connection, concurrency: 100, removeOnComplete: { count: 1000 } });
  // Said when Redis has answered that the job is complete.
  worker.on('completed', () => counter.add(1));
  worker.on('error', quiet);
  await worker.waitUntilReady();
  serve(counter.functions);
}
