/** The circuit breaker by itself: when it opens, for how long, and whose outcome counts. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../../../src/domain/error.ts';
import { CircuitBreaker } from '../../../../src/platform/keys/vault/circuit-breaker.ts';

const failure = new AppError('unavailable', 'It fails.', { reason: 'vault_failed' });

function setup(random = 1) {
  let nowMs = 0;
  const changes: unknown[] = [];
  const breaker = new CircuitBreaker({
    failuresMax: 3,
    openInitialMs: 1000,
    openMaxMs: 4000,
    clock: { now: () => 0, monotonicMs: () => nowMs },
    random: () => random,
    onChange: (change) => changes.push(change),
  });
  const fail = (isCertain?: boolean) => {
    breaker.failed(breaker.enter(), failure, isCertain);
  };
  return { breaker, changes, fail, step: (ms: number) => (nowMs += ms) };
}

describe('the circuit breaker', () => {
  it('opens after failures in a row, and a success between counts them anew', () => {
    const { breaker, changes, fail } = setup();
    fail();
    fail();
    breaker.succeeded(breaker.enter());
    fail();
    fail();
    expect(changes).to.deep.equal([]);
    fail();
    expect(changes).to.deep.equal([{ isOpen: true, reason: 'vault_failed', open_ms: 1000 }]);
    expect(() => breaker.enter())
      .to.throw(AppError, 'It fails.')
      .with.property('details')
      .that.deep.equals({ reason: 'vault_failed', retryAfterS: 1 });
  });

  it('opens at once after a failure that is certain to come again', () => {
    const { breaker, fail } = setup();
    fail(true);
    expect(() => breaker.enter()).to.throw(AppError);
  });

  it('lets one call look again, and opens for longer each time that it fails, within a bound', () => {
    const { breaker, changes, fail, step } = setup();
    fail(true);
    for (const openMs of [1000, 2000, 4000, 4000]) {
      step(openMs - 1);
      expect(() => breaker.enter()).to.throw(AppError);
      step(1);
      const probe = breaker.enter();
      expect(probe.isProbe).to.equal(true);
      expect(() => breaker.enter()).to.throw(AppError);
      breaker.failed(probe, failure);
    }
    expect(changes.map((change) => (change as { open_ms: number }).open_ms)).to.deep.equal([
      1000, 2000, 4000, 4000, 4000,
    ]);
    step(4000);
    breaker.succeeded(breaker.enter());
    expect(changes.at(-1)).to.deep.equal({ isOpen: false });
    fail(true);
    expect(changes.at(-1)).to.include({ open_ms: 1000 });
  });

  it('waits at least half of its bound, so that nobody looks again at once', () => {
    const { changes, fail } = setup(0);
    fail(true);
    expect(changes[0]).to.include({ open_ms: 500 });
  });

  it('does not heed what was sent before it opened', () => {
    const { breaker, changes, fail, step } = setup();
    const [early, late] = [breaker.enter(), breaker.enter()];
    fail(true);
    breaker.succeeded(early);
    expect(() => breaker.enter()).to.throw(AppError);
    step(1000);
    const probe = breaker.enter();
    breaker.failed(late, failure, true);
    breaker.succeeded(probe);
    expect(changes).to.have.length(2);
    expect(breaker.enter().isProbe).to.equal(false);
  });
});
