/** What a submission is answered. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { PlannedTask } from '../../src/tasks/plan.ts';
import { plannedTaskAnswer, PlannedTaskWriter } from '../../src/tasks/task-answer.ts';
import type { CatalogAction } from '../../src/tools/catalog.ts';

const actions = ['run', 'append'].map((action) => ({ tool: 'noop', action, effects: 'idempotent' }) as CatalogAction);
const time = fc.option(fc.constantFrom(new Date(1_000), new Date(2_000)));
const text = fc.constantFrom('a', '"b"');

const planned: fc.Arbitrary<PlannedTask> = fc.record({
  task_id: fc.uuid() as fc.Arbitrary<never>,
  source: text,
  action: fc.constantFrom(...actions),
  payload: fc.constant(Buffer.alloc(0)),
  payload_value: fc.dictionary(text, fc.jsonValue() as fc.Arbitrary<unknown>),
  payload_sha256: fc.constant('0'.repeat(64)),
  task_sha256: fc.constantFrom('00', 'ff'),
  required_role: text,
  scope: fc.constant(null),
  priority: fc.constantFrom(1, 2),
  run_at: time,
  expires_at: time,
  timeout_s: fc.constantFrom(1, 2),
  max_attempts: fc.constantFrom(1, 2),
  retry_initial_s: fc.constantFrom(1, 2),
  retry_max_s: fc.constantFrom(1, 2),
  affinity: fc.option(text),
  constraints: fc.dictionary(text, text, { maxKeys: 1 }),
  tags: fc.array(text, { maxLength: 1 }),
  labels: fc.dictionary(text, text, { maxKeys: 1 }),
  traceparent: fc.option(text),
  requested_by: text,
  credential_id: fc.constant('c'),
  created_at: fc.constantFrom(new Date(1_000), new Date(2_000)),
  rank: fc.constant(0),
  wake_at: fc.constant(null),
});

/** What most tasks are: nothing that need not be there. */
const plain = planned.map((task): PlannedTask => ({
  ...task,
  run_at: null,
  expires_at: null,
  affinity: null,
  traceparent: null,
  constraints: {},
  tags: [],
  labels: {},
}));

describe('the answer to a batch', () => {
  it('says of each task what the answer to it alone says, whatever it has in common with the one before', () => {
    fc.assert(
      fc.property(plain, planned, (task, other) => {
        // Two tasks that differ in their id and one member, in either order.
        for (const member of Object.keys(task) as (keyof PlannedTask)[]) {
          const changed = { ...task, task_id: other.task_id, [member]: other[member] };
          for (const tasks of [
            [task, changed],
            [changed, task],
          ]) {
            const writer = new PlannedTaskWriter();
            const answers = tasks.map((each) => JSON.parse(writer.json(each)) as unknown);
            expect(answers).to.deep.equal(
              tasks.map((each) => JSON.parse(JSON.stringify(plannedTaskAnswer(each))) as unknown),
            );
          }
        }
      }),
    );
  });
});
