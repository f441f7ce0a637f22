/** What a command writes to: results on stdout, everything else on stderr. */

import type { Clock } from '../domain/clock.ts';
import { createStyle, tintOf, type Style } from './style.ts';
import { formatPairs, formatTable, type Cell, type Column } from './table.ts';
import { terminalJson } from './terminal-text.ts';

type Output = NodeJS.WritableStream & { isTTY?: boolean | undefined; columns?: number | undefined };

/** The process as a command sees it; tests hand in their own. */
export interface CliIo {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean | undefined };
  stdout: Output;
  stderr: Output;
  clock: Clock;
  /** The folder that the command runs in. */
  folder: string;
  /** Of the process, where it is not given. */
  environment?: Readonly<Record<string, string | undefined>>;
}

/** Owns the form of the output: for people, or with `--json` for programs. Text from outside is made safe here. */
export class Screen {
  readonly json: boolean;
  readonly style: Style;
  readonly #io: CliIo;

  constructor(io: CliIo, options: { json: boolean; wantsColors: boolean }) {
    this.#io = io;
    this.json = options.json;
    this.style = createStyle(options.wantsColors && !options.json && io.stdout.isTTY === true);
  }

  get nowMs(): number {
    return this.#io.clock.now();
  }

  get stderr(): Output {
    return this.#io.stderr;
  }

  /** Safe lines to stdout; waits where whoever reads them is slow. */
  async lines(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const hasRoom = this.#io.stdout.write(`${lines.join('\n')}\n`);
    if (!hasRoom) {
      await new Promise((resolve) => this.#io.stdout.once('drain', resolve));
    }
  }

  /** One value as one line of JSON. */
  async value(value: unknown): Promise<void> {
    await this.lines([terminalJson(value)]);
  }

  async table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): Promise<void> {
    const { isTTY, columns: width = 80 } = this.#io.stdout;
    await this.lines(formatTable(columns, rows, { style: this.style, columns: isTTY === true ? width : Infinity }));
  }

  async pairs(pairs: readonly (readonly [string, Cell])[]): Promise<void> {
    await this.lines(formatPairs(pairs, this.style));
  }

  /** A safe line to stderr for people; programs get none. */
  note(line: string): void {
    if (!this.json) this.#io.stderr.write(`${line}\n`);
  }
}

/** A state, status or outcome in its colour. */
export function stateCell(word: string): Cell {
  return { text: word, tint: tintOf(word) };
}
