/** Outcomes as text for a terminal. */

import type { Spread } from '../measure/spread.ts';
import type { RowSummary, Summary } from './summary.ts';

/** A table of the rows, the CPU of each below it, and what is to be known. */
export function formatSummary({ name, title, rows, notes, invariants }: Summary): string {
  const lines = [`\n${name}: ${title}`];
  const width = Math.max(...rows.map((row) => row.name.length));
  for (const row of rows) {
    lines.push(`  ${row.name.padEnd(width)}  ${figuresOf(row)}`);
    const cpu = cpuOf(row);
    if (cpu !== undefined) lines.push(`  ${' '.repeat(width)}  ${cpu}`);
  }
  for (const note of notes) lines.push(`  note: ${note}`);
  if (invariants !== '') lines.push(`  invariants: ${invariants}`);
  return lines.join('\n');
}

function figuresOf({ figures, writ_ratio }: RowSummary): string {
  const parts = Object.entries(figures).map(([name, spread]) => `${name} ${formatSpread(spread)}`);
  if (writ_ratio !== undefined) parts.push(`Writ is ${formatSpread(writ_ratio)} times that`);
  return parts.join('   ');
}

function cpuOf({ cpu, cpu_total, cpu_total_with_load }: RowSummary): string | undefined {
  if (cpu === undefined || cpu_total === undefined || cpu_total_with_load === undefined) return undefined;
  const each = Object.entries(cpu).map(([process, { median }]) => `${process} ${median}`);
  const all = `${formatSpread(cpu_total)}, with what makes the load ${cpu_total_with_load.median}`;
  return `CPU ms per 1,000 ${all}: ${each.join(', ')}`;
}

function formatSpread({ median, min, max }: Spread): string {
  const text = (value: number): string => value.toLocaleString('en', { maximumSignificantDigits: 6 });
  return min === max ? text(median) : `${text(median)} (${text(min)}–${text(max)})`;
}
