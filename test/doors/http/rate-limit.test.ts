import { expect } from 'chai';
import type { Response } from 'express';
import { describe, it } from 'mocha';
import { type AppError } from '../../../src/domain/error.ts';
import { RateLimiter } from '../../../src/doors/http/rate-limit.ts';
import { withDoor } from './fixture.ts';

describe('rate limits', () => {
  const limits = { perCredential: 5, perNetwork: 100, freeFailures: 3 };

  it('bound a credential, say when to come back, and leave others alone', async () => {
    await withDoor({ rateLimits: limits }, async (door) => {
      const [one, other] = [
        await door.token({ roles: ['viewer'], name: 'one' }),
        await door.token({ roles: ['viewer'] }),
      ];
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => door.call('GET', '/api/v1/whoami', { token: one })),
      );
      expect(answers.filter(({ status }) => status === 200)).to.have.length(5);
      const refused = answers.find(({ status }) => status === 429);
      expect(refused?.body.code).to.equal('rate_limited');
      expect(Number(refused?.headers.get('retry-after'))).to.be.at.least(1);
      expect(refused?.headers.get('ratelimit-limit')).to.equal('5');
      expect(refused?.headers.get('ratelimit-remaining')).to.equal('0');
      expect((await door.call('GET', '/api/v1/whoami', { token: other })).status).to.equal(200);
      expect(
        (await door.records()).filter(({ reason }) => reason === 'rate_limited').map(({ actor }) => actor?.id),
      ).to.include('one');
    });
  });

  it('bound a network before anybody is authenticated', async () => {
    await withDoor({ rateLimits: { perNetwork: 5 } }, async (door) => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => door.call('GET', '/health')));
      expect(answers.filter(({ status }) => status === 429)).to.have.length(3);
    });
  });

  it('delay a network that fails to authenticate, but nobody there whose token could be good', async () => {
    await withDoor({ rateLimits: limits }, async (door) => {
      const [known, unknown] = [await door.token({ roles: ['viewer'] }), await door.token({ roles: ['viewer'] })];
      expect((await door.call('GET', '/api/v1/whoami', { token: known })).status).to.equal(200);
      const failures = [];
      for (let i = 0; i < 6; i++) failures.push((await door.call('GET', '/api/v1/whoami', { token: 'wrong' })).status);
      expect(failures).to.deep.equal([401, 401, 401, 401, 429, 429]);
      const delayed = await door.call('GET', '/api/v1/whoami', { token: 'wrong again' });
      expect([delayed.status, delayed.body.code]).to.deep.equal([429, 'authentication_delayed']);
      expect(delayed.headers.get('retry-after')).to.equal('1');
      for (const token of [known, unknown]) {
        expect((await door.call('GET', '/api/v1/whoami', { token })).status).to.equal(200);
      }
    });
  });

  it('double the delay with each failure up to a minute, and forgive after a while', () => {
    let nowMs = 0;
    const limiter = new RateLimiter(limits, { now: () => nowMs, monotonicMs: () => nowMs });
    const delayS = (ip: string): number => {
      try {
        limiter.checkDelay(ip, 'token');
        return 0;
      } catch (error) {
        return (error as AppError).details.retryAfterS ?? NaN;
      }
    };
    const delays = Array.from({ length: 12 }, () => {
      limiter.failed('2001:db8::1');
      return delayS('2001:db8::1');
    });
    expect(delays).to.deep.equal([0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(delayS('2001:db8:0:0:ffff::2'), 'the same /64').to.equal(60);
    expect(delayS('2001:db8:0:1::1'), 'another /64').to.equal(0);
    nowMs += 301_000;
    limiter.failed('2001:db8::1');
    expect(delayS('2001:db8::1')).to.equal(0);
  });

  it('count calls, not bytes: a limit is told with each answer', async () => {
    const limiter = new RateLimiter(limits, { now: () => 0, monotonicMs: () => 0 });
    const headers = new Map<string, string>();
    const response = { setHeader: (name: string, value: string) => headers.set(name, value) } as unknown as Response;
    await limiter.credential('c', response);
    expect(headers.get('RateLimit-Remaining')).to.equal('4');
  });
});
