/** Bounds how often somebody calls: by credential, by network, and by failed attempts to authenticate. */

import { hash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Response } from 'express';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/error.ts';

export interface RateLimits {
  /** Calls in a second with one credential. */
  perCredential: number;
  /** Calls in a second from one network: an IPv4 address, or an IPv6 /64. */
  perNetwork: number;
  /** Failures to authenticate from one network before answers are delayed. */
  freeFailures: number;
}

export const defaultRateLimits: RateLimits = { perCredential: 2000, perNetwork: 4000, freeFailures: 10 };

const delayMaxMs = 60_000;
/** Without another failure for so long, a network is forgiven. */
const forgivenAfterMs = 300_000;
const entriesMax = 10_000;

interface Failures {
  count: number;
  lastMs: number;
  delayedUntilMs: number;
}

/** Owns the counts of this process; they are in memory and vanish with it. */
export class RateLimiter {
  readonly #credentials: RateLimiterMemory;
  readonly #networks: RateLimiterMemory;
  readonly #limits: RateLimits;
  readonly #clock: Clock;
  readonly #failures = new Map<string, Failures>();
  /** Digests of tokens that were good: their holders pass while others fail from the same network. */
  readonly #good = new Set<string>();

  constructor(limits: RateLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#credentials = new RateLimiterMemory({ points: limits.perCredential, duration: 1 });
    this.#networks = new RateLimiterMemory({ points: limits.perNetwork, duration: 1 });
  }

  /** Counts a call of a network. Fails `rate_limited`. */
  network(ip: string | null, response: Response): Promise<void> {
    return this.#consume(this.#networks, networkOf(ip), this.#limits.perNetwork, response);
  }

  /** Counts a call with a credential. Fails `rate_limited`. */
  credential(credentialId: string, response: Response): Promise<void> {
    return this.#consume(this.#credentials, credentialId, this.#limits.perCredential, response);
  }

  /** Fails `rate_limited` while failures of this network are delayed, unless the token was good before. */
  checkDelay(ip: string | null, token: string): void {
    const failures = this.#failures.get(networkOf(ip));
    if (failures === undefined) return;
    const waitMs = failures.delayedUntilMs - this.#clock.monotonicMs();
    if (waitMs > 0 && !this.#good.has(digestOf(token))) {
      throw new AppError('rate_limited', 'Too many failed attempts from this network. Wait, then try again.', {
        reason: 'authentication_delayed',
        retryAfterS: waitMs / 1000,
      });
    }
  }

  /** Notes a failure: each beyond the free ones doubles the delay. */
  failed(ip: string | null): void {
    const nowMs = this.#clock.monotonicMs();
    const network = networkOf(ip);
    const known = this.#failures.get(network);
    const before = known === undefined || nowMs - known.lastMs > forgivenAfterMs ? 0 : known.count;
    const count = before + 1;
    const excess = count - this.#limits.freeFailures;
    const delayMs = excess <= 0 ? 0 : Math.min(delayMaxMs, 1000 * 2 ** Math.min(excess - 1, 16));
    if (this.#failures.size >= entriesMax) this.#failures.clear();
    this.#failures.set(network, { count, lastMs: nowMs, delayedUntilMs: nowMs + delayMs });
  }

  /** Notes that a token is good. */
  succeeded(token: string): void {
    if (this.#good.size >= entriesMax) this.#good.clear();
    this.#good.add(digestOf(token));
  }

  async #consume(limiter: RateLimiterMemory, key: string, limit: number, response: Response): Promise<void> {
    try {
      tellLimit(response, limit, await limiter.consume(key));
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      tellLimit(response, limit, refusal);
      throw new AppError('rate_limited', 'Too many calls. Slow down, or send tasks in batches.', {
        reason: 'rate_limited',
        retryAfterS: Math.max(1, refusal.msBeforeNext / 1000),
      });
    }
  }
}

function tellLimit(response: Response, limit: number, { remainingPoints, msBeforeNext }: RateLimiterRes): void {
  response.setHeader('RateLimit-Limit', limit.toString());
  response.setHeader('RateLimit-Remaining', Math.max(0, remainingPoints).toString());
  response.setHeader('RateLimit-Reset', Math.ceil(msBeforeNext / 1000).toString());
}

/** One person can have a whole IPv6 /64. */
function networkOf(ip: string | null): string {
  if (ip === null || !isIPv6(ip)) return ip ?? 'unknown';
  const [head = '', tail = ''] = ip.split('::');
  const left = head.split(':').filter((group) => group !== '');
  const right = tail.split(':').filter((group) => group !== '');
  const zeros = ip.includes('::') ? Math.max(0, 8 - left.length - right.length) : 0;
  return `${[...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':')}::/64`;
}

function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}
