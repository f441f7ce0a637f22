/** What an ended attempt means for its task, over the whole table. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { backoffS, decideLost, decideOutcome, type LiveTask } from '../../src/collect/outcome.ts';
import { planCollection } from '../../src/collect/plan-collection.ts';
import { isLegalMove, type LiveState } from '../../src/domain/task-state.ts';
import { effects } from '../../src/domain/tool.ts';
import { resultStatuses, type ResultStatus } from '../../src/proof/receipt.ts';
import type { Move } from '../../src/tasks/transition.ts';
import { liveTask, openOf, resultOf, uuid } from './receipts.ts';

interface Case {
  status: ResultStatus;
  errorCode: string | null;
  isRetryable: boolean;
  task: LiveTask & { state: LiveState };
}

const booleans = [false, true];
const nowMs = 1_000_000;

/** Every answer a node can give, to every task that can be in its hands. */
function* cases(): Generator<Case> {
  for (const state of ['dispatched', 'running', 'in_doubt'] as const)
    for (const status of resultStatuses)
      for (const errorCode of [null, 'expired', 'stale_attempt', 'other'])
        for (const effect of effects)
          for (const tries of [1, 3])
            for (const isCancelRequested of booleans)
              for (const isRetryable of status === 'failed' ? booleans : [false]) {
                const members = { effects: effect, tries, is_cancel_requested: isCancelRequested };
                yield { status, errorCode, isRetryable, task: { ...liveTask(1, members), state } };
              }
}

/** Where the task goes; undefined where the answer comes too late. */
function moveOf({ status, errorCode, isRetryable, task }: Case): Move | undefined {
  const error = errorCode === null ? null : { code: errorCode, message: '' };
  const { moves } = planCollection([openOf(0, [{ ...resultOf(1, { status, error }), isRetryable }])], {
    live: new Map([[uuid(1), task]]),
    isUnread: () => false,
    nowMs,
    random: () => 0.5,
  });
  expect(moves.length).to.be.at.most(1);
  return moves[0];
}

function nameOf({ status, errorCode, isRetryable, task }: Case): string {
  const { state, effects: effect, tries, is_cancel_requested } = task;
  return JSON.stringify({ state, status, errorCode, isRetryable, effect, tries, is_cancel_requested });
}

function goesAgain(move: Move | undefined): boolean {
  return move?.to === 'queued' || move?.to === 'waiting';
}

describe('the outcome of an attempt', () => {
  it('is a legal move, from every state that a node can answer', () => {
    let count = 0;
    for (const one of cases()) {
      const move = moveOf(one);
      if (move === undefined) continue;
      count++;
      expect(isLegalMove(one.task.state, move.to), nameOf(one)).to.equal(true);
      expect(move.from_doubt, nameOf(one)).to.equal(one.task.state === 'in_doubt');
    }
    expect(count).to.be.greaterThan(700);
  });

  it('never repeats destructive work that may have had a part of its effect', () => {
    for (const one of cases()) {
      if (one.task.effects !== 'destructive') continue;
      const mayHaveRun =
        one.task.state === 'in_doubt' ||
        one.status === 'timed_out' ||
        one.status === 'interrupted' ||
        (one.status === 'failed' && !one.isRetryable) ||
        (one.status === 'refused' && one.errorCode === 'stale_attempt');
      if (mayHaveRun) expect(goesAgain(moveOf(one)), nameOf(one)).to.equal(false);
    }
  });

  it('repeats nothing that was in doubt or that somebody wants to be over', () => {
    for (const one of cases()) {
      if (one.task.state === 'in_doubt' || one.task.is_cancel_requested)
        expect(goesAgain(moveOf(one)), nameOf(one)).to.equal(false);
    }
  });

  it('is success where the node says so, whatever was asked meanwhile', () => {
    for (const one of cases()) {
      if (one.status === 'succeeded') expect(moveOf(one)?.to, nameOf(one)).to.equal('succeeded');
      else expect(moveOf(one)?.to, nameOf(one)).to.not.equal('succeeded');
    }
  });

  it('counts a start against the tries, but for what was handed back', () => {
    for (const one of cases()) {
      const move = moveOf(one);
      if (!goesAgain(move)) continue;
      const isHandedBack = one.status === 'not_started' || (one.status === 'refused' && one.errorCode === 'expired');
      expect(move?.tries, nameOf(one)).to.equal(isHandedBack ? -1 : 0);
      if (one.task.tries >= one.task.max_attempts) expect(isHandedBack, nameOf(one)).to.equal(true);
    }
  });

  it('waits before it goes again, but for work that its node gave back without a start', () => {
    const answer = { errorCode: null, isRetryable: true };
    expect(decideOutcome({ ...answer, status: 'not_started' }, liveTask(1), 0.5)).to.include({ delayS: 0 });
    expect(decideOutcome({ ...answer, status: 'refused', errorCode: 'expired' }, liveTask(1), 0.5)).to.include({
      kind: 'handed_back',
      delayS: 1,
    });
    expect(decideOutcome({ ...answer, status: 'failed' }, liveTask(1), 0.5)).to.include({ kind: 'retry', delayS: 1 });
  });

  it('says why by the code of the error, else by the status', () => {
    const answer = { status: 'failed' as const, isRetryable: false };
    expect(decideOutcome({ ...answer, errorCode: 'exit_2' }, liveTask(1), 0)).to.include({ reason: 'exit_2' });
    expect(decideOutcome({ ...answer, errorCode: null }, liveTask(1), 0)).to.include({ reason: 'failed' });
  });

  it('of lost work is a retry, a failure when its tries are used up, or the end that was asked for', () => {
    expect(decideLost(liveTask(1), 'lease_over', 0)).to.include({ kind: 'retry', reason: 'lease_over' });
    expect(decideLost(liveTask(1, { tries: 3 }), 'lease_over', 0)).to.include({ kind: 'end', state: 'failed' });
    expect(decideLost(liveTask(1, { is_cancel_requested: true }), 'lease_over', 0)).to.include({ state: 'cancelled' });
  });
});

describe('the pause before a retry', () => {
  const parameters = fc.record({
    tries: fc.integer({ min: 0, max: 1000 }),
    retry_initial_s: fc.double({ min: 0, max: 3600, noNaN: true }),
    retry_max_s: fc.double({ min: 0, max: 86_400, noNaN: true }),
  });

  it('lies between nothing and the doubled bound of its try, never beyond the longest', () => {
    fc.assert(
      fc.property(parameters, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (task, random) => {
        const pause = backoffS(task, random);
        expect(pause).to.be.within(0, task.retry_max_s);
        expect(pause).to.be.at.most(task.retry_initial_s * 2 ** Math.max(0, task.tries - 1));
      }),
      { numRuns: 300 },
    );
  });

  it('doubles with each try until it is at its longest', () => {
    const bounds = [1, 2, 3, 4, 5, 6, 40].map((tries) =>
      backoffS({ tries, retry_initial_s: 2, retry_max_s: 30 }, 0.999999),
    );
    expect(bounds.map(Math.round)).to.deep.equal([2, 4, 8, 16, 30, 30, 30]);
  });
});
