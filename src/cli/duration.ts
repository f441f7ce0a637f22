/** Durations and times as people write and read them. */

import { AppError } from '../domain/error.ts';

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `90`, `90s`, `15m`, `2h` or `30d`. Fails `invalid`. */
export function parseDurationS(text: string): number {
  const [, digits, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? [];
  if (digits === undefined) throw new AppError('invalid', `"${text}" is no duration: write 90, 90s, 15m, 2h or 30d.`);
  return Number(digits) * (units[unit] ?? 1);
}

/** The RFC 3339 time of `2026-05-01T12:00:00Z`, or of `+15m` from now. Fails `invalid`. */
export function parseTime(text: string, nowMs: number): string {
  if (text.startsWith('+')) return new Date(nowMs + parseDurationS(text.slice(1)) * 1000).toISOString();
  const isDated = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/i.test(text);
  if (!isDated || Number.isNaN(Date.parse(text))) {
    throw new AppError('invalid', `"${text}" is no time: write 2026-05-01T12:00:00Z, or +15m for 15 minutes from now.`);
  }
  return new Date(text).toISOString();
}

/** How far a time is away: `4s ago`, `in 2h`; `-` for none. */
export function relativeTime(time: string | null, nowMs: number): string {
  if (time === null) return '-';
  const ms = nowMs - Date.parse(time);
  if (Number.isNaN(ms)) return time;
  const span = formatSpan(Math.abs(ms));
  return ms >= 0 ? `${span} ago` : `in ${span}`;
}

/** A span in its two largest sensible digits: `350ms`, `4.2s`, `12m`, `3h`, `9d`. */
export function formatSpan(ms: number): string {
  if (ms < 1000) return `${Math.round(ms).toString()}ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)}s`;
  if (s < 120) return `${Math.floor(s).toString()}s`;
  if (s < 7200) return `${Math.floor(s / 60).toString()}m`;
  if (s < 172_800) return `${Math.floor(s / 3600).toString()}h`;
  return `${Math.floor(s / 86_400).toString()}d`;
}
