/** Outcomes as text for a terminal. */

import type { Spread } from '../measure/spread.ts';
import type { Machine } from './machine.ts';
import type { RowSummary, Summary } from './summary.ts';

type Cells = readonly string[];

/** A table of the rows, the CPU of each below it, and what is to be known. Rows with other figures have a heading of their own. */
export function formatSummary({ name, title, rows, notes, invariants }: Summary): string {
  const lines = [`\n${name}: ${title}`];
  for (const group of groupsOf(rows)) {
    const table = [headingOf(group), ...group.map(cellsOf)];
    const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
    table.forEach((cells, n) => {
      lines.push(`  ${aligned(cells, widths)}`);
      const cpu = n === 0 ? undefined : cpuOf(group[n - 1]!);
      if (cpu !== undefined) lines.push(`      ${cpu}`);
    });
  }
  for (const note of notes) lines.push(`  note: ${note}`);
  if (invariants !== '') lines.push(`  invariants: ${invariants}`);
  return lines.join('\n');
}

/** Neighbours with the same figures; whether there is a ratio counts nothing. */
function groupsOf(rows: readonly RowSummary[]): RowSummary[][] {
  const groups: RowSummary[][] = [];
  let last = '';
  for (const row of rows) {
    const key = Object.keys(row.figures).join();
    if (key !== last) groups.push([]);
    groups.at(-1)!.push(row);
    last = key;
  }
  return groups;
}

function headingOf(group: readonly RowSummary[]): Cells {
  const hasRatio = group.some(({ writ_ratio }) => writ_ratio !== undefined);
  return ['', ...Object.keys(group[0]!.figures), hasRatio ? 'Writ / this' : ''];
}

function cellsOf({ name, figures, writ_ratio }: RowSummary): Cells {
  return [name, ...Object.values(figures).map(formatSpread), writ_ratio === undefined ? '' : formatSpread(writ_ratio)];
}

function aligned(cells: Cells, widths: readonly number[]): string {
  const [name = '', ...values] = cells;
  const rest = values.map((cell, n) => cell.padStart(widths[n + 1] ?? 0));
  return [name.padEnd(widths[0] ?? 0), ...rest].join('   ').trimEnd();
}

function cpuOf({ cpu, cpu_total, cpu_total_with_load }: RowSummary): string | undefined {
  if (cpu === undefined || cpu_total === undefined || cpu_total_with_load === undefined) return undefined;
  const each = Object.entries(cpu).map(([process, { median }]) => `${process} ${median}`);
  const all = `${formatSpread(cpu_total)}, with what makes the load ${cpu_total_with_load.median}`;
  return `CPU ms per 1,000: ${all}: ${each.join(', ')}`;
}

function formatSpread({ median, min, max }: Spread): string {
  const text = (value: number): string => value.toLocaleString('en', { maximumSignificantDigits: 6 });
  return min === max ? text(median) : `${text(median)} (${text(min)}–${text(max)})`;
}

/** What it was measured on. */
export function formatMachine({ cores, cpu, memory_gib }: Machine, versions: Record<string, string>): string {
  const parts = Object.entries(versions).map((entry) => entry.join(' '));
  return `${cores} cores of ${cpu}, ${memory_gib} GiB\n${parts.join(', ')}`;
}
