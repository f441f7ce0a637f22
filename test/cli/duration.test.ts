import { expect } from 'chai';
import { describe, it } from 'mocha';
import { formatSpan, parseDurationS, parseTime, relativeTime } from '../../src/cli/duration.ts';

const nowMs = Date.parse('2026-01-01T00:00:00Z');

describe('durations and times', () => {
  it('are read in seconds, minutes, hours and days', () => {
    expect(['90', '90s', '15m', '2h', '30d', '0'].map(parseDurationS)).to.deep.equal([90, 90, 900, 7200, 2_592_000, 0]);
    for (const text of ['', '-1', '1.5h', '1w', '1 h', '9999999999'])
      expect(() => parseDurationS(text), text).to.throw(/no duration/);
  });

  it('are read as RFC 3339 or as a distance from now', () => {
    expect(parseTime('2026-05-01T14:00:00+02:00', nowMs)).to.equal('2026-05-01T12:00:00.000Z');
    expect(parseTime('+15m', nowMs)).to.equal('2026-01-01T00:15:00.000Z');
    for (const text of ['tomorrow', '2026-05-01', '2026-05-01T12:00:00', '2026-13-01T00:00:00Z', '1']) {
      expect(() => parseTime(text, nowMs), text).to.throw(/no time|no duration/);
    }
  });

  it('are told by their distance', () => {
    expect(relativeTime('2025-12-31T23:59:56Z', nowMs)).to.equal('4.0s ago');
    expect(relativeTime('2026-01-01T02:30:00Z', nowMs)).to.equal('in 2h');
    expect(relativeTime(null, nowMs)).to.equal('-');
    expect(relativeTime('never', nowMs)).to.equal('never');
    expect([350, 9999, 60_000, 150_000, 8_000_000, 900_000_000].map(formatSpan)).to.deep.equal([
      '350ms',
      '10.0s',
      '60s',
      '2m',
      '2h',
      '10d',
    ]);
  });
});
