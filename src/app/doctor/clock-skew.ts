/** Compares this machine's clock with another's. */

import type { Clock } from '../../domain/clock.ts';
import type { Examination } from './finding.ts';

const warnMs = 2000;
const failMs = 30_000;

/** What another clock showed at some moment between two of this one's. */
export interface ClockReading {
  otherMs: number;
  /** How coarse the other clock's answer is: it may have been so much later. */
  coarseMs?: number;
  beforeMs: number;
  afterMs: number;
}

/** Reads this clock before and after `ask`, which answers the other's. */
export async function readClocks(clock: Clock, ask: () => Promise<number>): Promise<ClockReading> {
  const beforeMs = clock.now();
  const otherMs = await ask();
  return { otherMs, beforeMs, afterMs: clock.now() };
}

/** Tells of a difference that is more than the way there and back explains. */
export function examineClock(examination: Examination, check: string, whose: string, reading: ClockReading): void {
  const { otherMs, beforeMs, afterMs, coarseMs = 0 } = reading;
  const aheadMs = otherMs - afterMs;
  const behindMs = beforeMs - (otherMs + coarseMs);
  const skewMs = Math.max(aheadMs, behindMs, 0);
  if (skewMs <= warnMs) {
    examination.ok(check, `This machine's clock and that of ${whose} agree within 2 s.`);
    return;
  }
  const by = `${(skewMs / 1000).toFixed(skewMs < 10_000 ? 1 : 0)} s ${aheadMs > 0 ? 'behind' : 'ahead of'}`;
  const message = `This machine's clock is ${by} that of ${whose}.`;
  const hint =
    'Have both follow a time server (chrony, systemd-timesyncd). Orders and receipts are refused beyond 30 s.';
  if (skewMs > failMs) examination.fail(check, message, hint);
  else examination.warn(check, message, hint);
}

/** What the header `Date` of an HTTP answer says (RFC 9110 §6.6.1: whole seconds); undefined where there is none. */
export function readDateHeader(text: string | undefined): Pick<ClockReading, 'otherMs' | 'coarseMs'> | undefined {
  const otherMs = Date.parse(text ?? '');
  return Number.isNaN(otherMs) ? undefined : { otherMs, coarseMs: 1000 };
}
