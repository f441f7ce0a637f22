/** The scheduler against a model of the queue: whatever happens in whatever order, every task goes out, once. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { goesBefore } from '../../src/schedule/task-heap.ts';
import { placesOf, TaskScheduler, type ReadWindow, type SchedulerSizes } from '../../src/schedule/task-scheduler.ts';
import type { ReadyTask } from '../../src/tasks/ready-task.ts';
import { readyTask, taskId } from './ready-tasks.ts';

/** Lets promises that can go on do so. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The queue's rows, the tasks that are out with the dispatcher, and reads that are under way. */
class World {
  readonly rows = new Map<string, ReadyTask>();
  readonly out = new Map<string, ReadyTask>();
  /** Committed, and the scheduler not told yet. */
  readonly untold: ReadyTask[] = [];
  /** Queued, and the scheduler not told yet. */
  readonly unoffered: ReadyTask[] = [];
  readonly dispatched = new Set<string>();
  readonly scheduler: TaskScheduler;
  #reads: (() => void)[] = [];
  #works: Promise<unknown>[] = [];
  #isOpen = false;
  #count = 0;

  constructor(sizes?: SchedulerSizes) {
    this.scheduler = new TaskScheduler(this.#read, sizes);
  }

  /** A read sees the rows as they are when it begins, and answers when it is let go on. */
  readonly #read: ReadWindow = async ({ requirement, principal, source }, after, limit) => {
    const found = [...this.rows.values()]
      .filter((row) => row.requirement === requirement && row.principal === principal && row.source === source)
      .filter((row) => goesBefore(after, row))
      .sort((a, b) => (goesBefore(a, b) ? -1 : 1));
    if (!this.#isOpen) await new Promise<void>((resolve) => this.#reads.push(resolve));
    return found.slice(0, limit);
  };

  /** All queues are known and read to their end: from here on what is offered is held. */
  async begun(): Promise<this> {
    this.scheduler.discover([0, 1, 2, 3].map(queueOf));
    this.#isOpen = true;
    await this.scheduler.refill();
    this.#isOpen = false;
    return this;
  }

  submit(rank: number, queue: number, isTold: boolean): void {
    this.#queue(readyTask(++this.#count, { rank, ...queueOf(queue) }), isTold);
  }

  tellQueued(): void {
    this.scheduler.offer(this.unoffered.splice(0));
  }

  take(count: number, node: number): void {
    const taken = this.scheduler.take(
      count,
      (requirement) => node === 0 || requirement === node,
      ({ rank }) => node === 0 || rank !== 3,
    );
    for (const task of taken) {
      const key = `${task.task_id} ${task.attempt}`;
      expect(this.out.has(task.task_id), `${key} is out already`).to.equal(false);
      expect(this.dispatched.has(key), `${key} was dispatched before`).to.equal(false);
      this.out.set(task.task_id, task);
    }
  }

  putBack(): void {
    const tasks = [...this.out.values()];
    this.out.clear();
    // Those that moved are told first, as the dispatcher does.
    this.scheduler.forget(tasks.filter((task) => this.rows.get(task.task_id)?.attempt !== task.attempt));
    this.scheduler.putBack(tasks);
  }

  /** Dispatches what is out and still queued; the rest is told and forgotten. */
  commit(isTold: boolean): void {
    const tasks = [...this.out.values()];
    if (tasks.some((task) => this.rows.get(task.task_id)?.attempt !== task.attempt)) {
      this.putBack();
      return;
    }
    for (const { task_id, attempt } of tasks) {
      this.rows.delete(task_id);
      this.dispatched.add(`${task_id} ${attempt}`);
    }
    this.untold.push(...tasks);
    if (isTold) this.tellDispatched();
  }

  /** The dispatcher tells before it takes again: until then its tasks count as out. */
  tellDispatched(): void {
    const tasks = this.untold.splice(0);
    this.scheduler.forget(tasks);
    for (const { task_id } of tasks) this.out.delete(task_id);
  }

  /** A queued task ends: cancelled or expired. */
  end(at: number): void {
    const row = [...this.rows.values()][at % Math.max(1, this.rows.size)];
    if (row === undefined) return;
    this.rows.delete(row.task_id);
    this.scheduler.forget([{ task_id: row.task_id, attempt: Number.MAX_SAFE_INTEGER }]);
  }

  /** A task that was dispatched is queued again under its next attempt: it was lost, or handed back. */
  again(at: number, isTold: boolean): void {
    const all = [...this.dispatched];
    const [id = '', attempt] = (all[at % Math.max(1, all.length)] ?? '').split(' ');
    if (id === '' || this.out.has(id) || this.rows.has(id) || this.dispatched.has(`${id} ${Number(attempt) + 1}`))
      return;
    const number = parseInt(id.slice(-12), 16);
    this.#queue(readyTask(number, { rank: 0, attempt: Number(attempt) + 1, ...queueOf(number % 4) }), isTold);
  }

  begin(work: 'refill' | 'resync'): void {
    this.#works.push(this.scheduler[work]());
  }

  /** As another process tells where it has queued tasks. */
  look(): void {
    for (const place of placesOf(this.unoffered.splice(0))) this.#works.push(this.scheduler.look(place));
  }

  async letReadsGoOn(): Promise<void> {
    for (const resolve of this.#reads.splice(0)) resolve();
    await settle();
  }

  discover(): void {
    this.scheduler.discover([...this.rows.values()]);
  }

  /** Ends what is under way, then works until nothing is queued any more. */
  async drain(): Promise<void> {
    this.#isOpen = true;
    await this.letReadsGoOn();
    await Promise.all(this.#works);
    this.tellDispatched();
    this.putBack();
    for (let round = 0; round < 200 && this.rows.size > 0; round++) {
      this.discover();
      await this.scheduler.refill();
      await this.scheduler.resync();
      this.take(1000, 0);
      this.commit(true);
    }
  }

  #queue(task: ReadyTask, isTold: boolean): void {
    this.rows.set(task.task_id, task);
    if (isTold) this.scheduler.offer([task]);
    else this.unoffered.push(task);
  }
}

function queueOf(number: number): Pick<ReadyTask, 'principal' | 'source' | 'requirement'> {
  return {
    principal: number < 3 ? 'alice' : 'bob',
    source: number === 1 ? 'nightly' : 'default',
    requirement: number === 2 ? 2 : 1,
  };
}

type Step = (world: World) => void | Promise<void>;

const steps: fc.Arbitrary<{ name: string; run: Step }> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.nat(6), fc.nat(3), fc.boolean())
      .map((of) => ({ name: `submit ${of.join()}`, run: (world: World) => world.submit(...of) })),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat(4), fc.nat(2)).map((of) => ({
      name: `take ${of.join()}`,
      run: (world: World) => {
        world.tellDispatched();
        world.take(...of);
      },
    })),
  },
  {
    weight: 3,
    arbitrary: fc.boolean().map((isTold) => ({ name: 'commit', run: (world: World) => world.commit(isTold) })),
  },
  {
    weight: 2,
    arbitrary: fc.constant({
      name: 'look',
      run: async (world: World) => {
        world.look();
        await settle();
      },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('refill' as const, 'resync' as const).map((work) => ({
      name: work,
      run: async (world: World) => {
        world.begin(work);
        await settle();
      },
    })),
  },
  {
    weight: 4,
    arbitrary: fc.constant({ name: 'reads go on', run: (world: World) => world.letReadsGoOn() }),
  },
  {
    weight: 4,
    arbitrary: fc.oneof(
      fc.constant({ name: 'tell queued', run: (world: World) => world.tellQueued() }),
      fc.constant({ name: 'tell dispatched', run: (world: World) => world.tellDispatched() }),
      fc.constant({ name: 'discover', run: (world: World) => world.discover() }),
      fc.constant({
        name: 'put back',
        run: (world: World) => {
          world.tellDispatched();
          world.putBack();
        },
      }),
      fc.nat(20).map((at) => ({ name: `end ${at}`, run: (world: World) => world.end(at) })),
      fc
        .tuple(fc.nat(20), fc.boolean())
        .map((of) => ({ name: `again ${of.join()}`, run: (world: World) => world.again(...of) })),
    ),
  },
);

describe('the scheduler, whatever happens', () => {
  const sizes: Record<string, SchedulerSizes | undefined> = {
    'that holds all there is': undefined,
    'that holds little, and reads less at a time': { held: 12, page: 3, windowMin: 2 },
    'that holds a task of each queue': { held: 1, page: 1, windowMin: 1 },
  };
  for (const [name, size] of Object.entries(sizes)) {
    it(`hands every task out, and none twice, ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 60 }), async (sequence) => {
          const world = await new World(size).begun();
          for (const { run } of sequence) await run(world);
          await world.drain();
          expect([...world.rows.keys()], 'never handed out').to.deep.equal([]);
        }),
        { numRuns: 500 },
      );
    }).timeout(30_000);
  }

  it('forgets nothing that ended', () => {
    const world = new World();
    world.submit(1, 0, true);
    world.end(0);
    world.take(10, 0);
    expect(world.out.has(taskId(1))).to.equal(false);
  });
});
