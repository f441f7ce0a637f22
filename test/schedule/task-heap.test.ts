/** The heap of ready tasks. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { goesBefore, TaskHeap } from '../../src/schedule/task-heap.ts';
import type { ReadyTask } from '../../src/tasks/ready-task.ts';
import { readyTask } from './ready-tasks.ts';

function drain(heap: TaskHeap): ReadyTask[] {
  const tasks: ReadyTask[] = [];
  for (let task = heap.pop(); task !== undefined; task = heap.pop()) tasks.push(task);
  return tasks;
}

function compare(a: ReadyTask, b: ReadyTask): number {
  return goesBefore(a, b) ? -1 : 1;
}

describe('a task heap', () => {
  it('gives nothing where it is empty', () => {
    const heap = new TaskHeap();
    expect(heap.peek()).to.equal(undefined);
    expect(heap.pop()).to.equal(undefined);
    expect(heap.size).to.equal(0);
  });

  it('puts the smaller rank first, and the older id where ranks are level', () => {
    const heap = new TaskHeap();
    for (const task of [readyTask(3, { rank: 5 }), readyTask(1, { rank: 5 }), readyTask(2, { rank: -1 })]) {
      heap.push(task);
    }
    expect(drain(heap).map(({ rank, task_id }) => [rank, task_id.at(-1)])).to.deep.equal([
      [-1, '2'],
      [5, '1'],
      [5, '3'],
    ]);
  });

  it('gives the smallest that is in it, whatever was pushed and popped before', () => {
    const steps = fc.array(fc.option(fc.integer({ min: -5, max: 5 }), { freq: 2 }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (ranks) => {
        const heap = new TaskHeap();
        let model: ReadyTask[] = [];
        ranks.forEach((rank, i) => {
          if (rank === null) {
            expect(heap.pop()).to.equal(model[0]);
            model = model.slice(1);
          } else {
            const task = readyTask((i * 7919) % 211, { rank });
            heap.push(task);
            model = [...model, task].sort(compare);
          }
          expect(heap.peek()).to.equal(model[0]);
          expect(heap.size).to.equal(model.length);
        });
        expect(drain(heap)).to.deep.equal(model);
      }),
      { numRuns: 100 },
    );
  });
});
