/** What receipts change. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { OpenReceipt } from '../../src/collect/open-receipt.ts';
import type { LiveTask } from '../../src/collect/outcome.ts';
import { planCollection, type Collection } from '../../src/collect/plan-collection.ts';
import { resultStatuses } from '../../src/proof/receipt.ts';
import { liveTask, nodeId, openOf, otherNodeId, resultOf, uuid } from './receipts.ts';

const nowMs = 1_000_000;

function plan(receipts: readonly OpenReceipt[], live: readonly LiveTask[], unread: readonly string[] = []): Collection {
  return planCollection(receipts, {
    live: new Map(live.map((task) => [task.task_id, task])),
    isUnread: (taskId) => unread.includes(taskId),
    nowMs,
    random: () => 0.5,
  });
}

/** Type, outcome and results of each record. */
function told({ records }: Collection): unknown[] {
  return records.map(({ type, outcome, data }) => [type, outcome, data?.['results']]);
}

describe('a plan of what receipts change', () => {
  it('counts the answer of the node that has the attempt', () => {
    const receipt = openOf(0, [resultOf(1)]);
    const collection = plan([receipt], [liveTask(1)]);
    expect(told(collection)).to.deep.equal([['receipt.accept', 'success', [[uuid(1), 1, 'succeeded']]]]);
    expect(collection.moves).to.have.length(1);
    expect(collection.moves[0]).to.deep.equal({
      ...{ task_id: uuid(1), attempt: 1, by_node: nodeId, from_doubt: false, to: 'succeeded', tries: 0 },
      ...{ reason: undefined, wake_at: undefined },
    });
    expect(collection.ended[0]).to.include({ state: 'succeeded', receipt: receipt.payload.jti });
    expect(collection.ended[0]?.record_id).to.equal(collection.records[0]?.id);
    expect(collection.receipts[0]?.record_id).to.equal(collection.records[0]?.id);
  });

  it('takes an unread success on trust: the commit checks it', () => {
    const collection = plan([openOf(0, [resultOf(1)])], [], [uuid(1)]);
    expect(collection.moves).to.have.length(1);
    expect(collection.moves[0]).to.include({ to: 'succeeded', by_node: nodeId });
  });

  for (const [what, task] of [
    ['of a task that is over', undefined],
    ['under an earlier attempt', liveTask(1, { attempt: 2 })],
    ['under an attempt that was not given yet', liveTask(1, { attempt: 0, state: 'queued', node_id: null })],
    ['of another node', liveTask(1, { node_id: otherNodeId })],
    ['of a task that waits again', liveTask(1, { state: 'waiting', node_id: null })],
    ['of a task that is queued again', liveTask(1, { state: 'queued', node_id: null })],
    ['of a node that once had it, now queued', liveTask(1, { state: 'queued' })],
  ] as const) {
    it(`takes an answer ${what} for late: it is recorded and moves nothing`, () => {
      const collection = plan([openOf(0, [resultOf(1)])], task === undefined ? [] : [task]);
      expect(told(collection)).to.deep.equal([['receipt.late', 'deny', [[uuid(1), 1, 'succeeded']]]]);
      expect(collection.moves).to.deep.equal([]);
      expect(collection.ended).to.deep.equal([]);
      expect(collection.taskRecords).to.deep.equal([{ task_id: uuid(1), record_id: collection.records[0]?.id }]);
      expect(collection.receipts[0]?.record_id).to.equal(collection.records[0]?.id);
    });
  }

  it('lets the first of two answers to one attempt count', () => {
    const receipts = [openOf(0, [resultOf(1)]), openOf(1, [resultOf(1, { status: 'failed' })])];
    const collection = plan(receipts, [liveTask(1)]);
    expect(told(collection).map((record) => (record as unknown[])[0])).to.deep.equal([
      'receipt.accept',
      'receipt.late',
    ]);
    expect(collection.moves.map(({ to }) => to)).to.deep.equal(['succeeded']);
  });

  it('settles a doubt by a late answer, whose record names it', () => {
    const doubt = liveTask(1, { state: 'in_doubt', effects: 'destructive' });
    const collection = plan([openOf(0, [resultOf(1)])], [doubt]);
    expect(collection.moves[0]).to.include({ to: 'succeeded', from_doubt: true });
    expect(collection.records.map(({ type }) => type)).to.deep.equal(['receipt.late']);
    expect(collection.ended[0]?.record_id).to.equal(collection.records[0]?.id);
    expect(collection.taskRecords).to.have.length(1);
  });

  it('ends a doubt as failed whatever else the node says of it, and leaves it where the node did not try', () => {
    const doubt = liveTask(1, { state: 'in_doubt', effects: 'idempotent' });
    const ends = resultStatuses.map(
      (status) => plan([openOf(0, [{ ...resultOf(1, { status }), isRetryable: true }])], [doubt]).moves[0]?.to,
    );
    expect(Object.fromEntries(resultStatuses.map((status, i) => [status, ends[i]]))).to.deep.equal({
      succeeded: 'succeeded',
      failed: 'failed',
      cancelled: 'failed',
      timed_out: 'failed',
      interrupted: 'failed',
      not_started: undefined,
      refused: undefined,
    });
  });

  it('says in the record which go again, and which of these at once', () => {
    const collection = plan(
      [
        openOf(0, [
          resultOf(1, { status: 'not_started' }),
          { ...resultOf(2, { status: 'failed' }), isRetryable: true },
          resultOf(3),
        ]),
      ],
      [liveTask(1), liveTask(2), liveTask(3)],
    );
    expect(collection.records[0]?.data?.['retried']).to.deep.equal([uuid(1), uuid(2)]);
    expect(collection.handedBack).to.deep.equal([uuid(1)]);
    expect(collection.moves.map(({ to }) => to)).to.deep.equal(['queued', 'waiting', 'succeeded']);
    expect(collection.moves[1]?.wake_at).to.deep.equal(new Date(nowMs + 1000));
    expect(collection.ended.map(({ manifest }) => manifest)).to.deep.equal([uuid(0xffff), uuid(0xffff), null]);
  });

  const state = fc.constantFrom('waiting', 'queued', 'dispatched', 'running', 'in_doubt');
  const live = fc.uniqueArray(
    fc.record({
      number: fc.nat(12),
      state,
      attempt: fc.integer({ min: 1, max: 2 }),
      is_cancel_requested: fc.boolean(),
      node_id: fc.constantFrom(nodeId, otherNodeId),
      effects: fc.constantFrom('none' as const, 'destructive' as const),
    }),
    { selector: ({ number }) => number, maxLength: 12 },
  );
  const result = fc.record({
    number: fc.nat(12),
    attempt: fc.integer({ min: 1, max: 2 }),
    status: fc.constantFrom(...resultStatuses),
  });
  const receipts = fc.array(
    fc.uniqueArray(result, { selector: (r) => `${r.number} ${r.attempt}`, minLength: 1, maxLength: 8 }),
    { minLength: 1, maxLength: 5 },
  );

  it('names each result in exactly one record, and moves each task once', () => {
    fc.assert(
      fc.property(live, receipts, (tasks, signed) => {
        const opened = signed.map((results, i) =>
          openOf(
            i,
            results.map(({ number, ...members }) => resultOf(number, members)),
          ),
        );
        const collection = plan(
          opened,
          tasks.map(({ number, ...members }) => liveTask(number, members)),
        );
        for (const { sha256, payload } of opened) {
          const named = collection.records
            .filter(({ data }) => data?.['receipt_sha256'] === sha256)
            .flatMap(({ data }) => data?.['results'] as unknown as [string, number, string][]);
          const given = payload.results.map(({ task_id, attempt, status }) => [task_id, attempt, status]);
          expect(named.map(String).sort()).to.deep.equal(given.map(String).sort());
        }
        const moved = collection.moves.map(({ task_id }) => task_id);
        expect(moved).to.deep.equal([...new Set(moved)].sort());
        expect(collection.ended.map(({ task_id }) => task_id)).to.deep.equal(moved);
        expect(collection.receipts).to.have.length(opened.length);
        const recordIds = collection.records.map(({ id }) => id);
        expect(new Set(recordIds).size).to.equal(recordIds.length);
        for (const { record_id } of [...collection.receipts, ...collection.ended, ...collection.taskRecords])
          expect(recordIds).to.include(record_id);
      }),
      { numRuns: 200 },
    );
  });
});
