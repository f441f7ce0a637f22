/** Lays out rows as columns. */

import type { Style, Tint } from './style.ts';
import { cutText, terminalText, textWidth } from './terminal-text.ts';

export interface Column {
  header: string;
  align?: 'left' | 'right';
  /** Takes what the others leave, and is cut to it on a terminal. */
  isFlexible?: boolean;
}

/** A cell: text from anywhere, made safe here; with a colour, or without. */
export type Cell = string | { text: string; tint: Tint | undefined };

export interface TableLayout {
  style: Style;
  /** Width of the terminal; infinite where nothing is cut. */
  columns: number;
}

const gap = '  ';
/** A flexible column is never cut to less. */
const flexibleLeast = 12;

/** One line for the headers and one for each row, without trailing spaces. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  layout: TableLayout,
): string[] {
  const texts = rows.map((row) => row.map((cell) => terminalText(typeof cell === 'string' ? cell : cell.text)));
  const widths = widthsOf(columns, texts, layout.columns);
  const header = columns.map((column, i) => layout.style('bold', pad(column.header, widths[i] ?? 0, column)));
  const lines = [header.join(gap)];
  for (const [at, row] of texts.entries()) {
    const cells = columns.map((column, i) => {
      const text = pad(row[i] ?? '', widths[i] ?? 0, column);
      const cell = rows[at]?.[i];
      const tint = typeof cell === 'object' ? cell.tint : undefined;
      return tint === undefined ? text : layout.style(tint, text);
    });
    lines.push(cells.join(gap));
  }
  return lines.map((line) => line.trimEnd());
}

/** Pairs as two columns, the names to the left. */
export function formatPairs(pairs: readonly (readonly [string, Cell])[], style: Style): string[] {
  const width = Math.max(0, ...pairs.map(([name]) => textWidth(name)));
  return pairs.map(([name, cell]) => {
    const text = terminalText(typeof cell === 'string' ? cell : cell.text);
    const tint = typeof cell === 'string' ? undefined : cell.tint;
    const label = style('dim', pad(name, width, { header: name }));
    return `${label}${gap}${tint === undefined ? text : style(tint, text)}`.trimEnd();
  });
}

function widthsOf(columns: readonly Column[], texts: readonly (readonly string[])[], available: number): number[] {
  const widths = columns.map((column, i) =>
    Math.max(textWidth(column.header), ...texts.map((row) => textWidth(row[i] ?? ''))),
  );
  const total = widths.reduce((sum, width) => sum + width, 0) + gap.length * (columns.length - 1);
  const flexible = columns.findIndex(({ isFlexible }) => isFlexible === true);
  const width = widths[flexible];
  if (width === undefined || total <= available) return widths;
  widths[flexible] = Math.min(width, Math.max(flexibleLeast, width - (total - available)));
  return widths;
}

function pad(text: string, width: number, column: Column): string {
  const cut = cutText(text, width);
  const space = ' '.repeat(Math.max(0, width - textWidth(cut)));
  return column.align === 'right' ? `${space}${cut}` : `${cut}${space}`;
}
