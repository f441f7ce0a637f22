/** An outcome with its rounds taken together: what the table and the JSON show. */

import { loadProcesses, type Outcome, type Row } from '../measure/outcome.ts';
import { spreadOf, type Spread } from '../measure/spread.ts';

export interface RowSummary {
  name: string;
  figures: Record<string, Spread>;
  /** CPU of this row is in milliseconds for 1,000 tasks. Absent where it was not measured. */
  cpu?: Record<string, Spread>;
  /** Without the processes that make the load. */
  cpu_total?: Spread;
  cpu_total_with_load?: Spread;
  /** The first figure of Writ's row divided by this row's, within one round. Of peers alone. */
  writ_ratio?: Spread;
}

export interface Summary {
  name: string;
  title: string;
  /** When it was measured, RFC 3339. */
  at: string;
  commit: string;
  rounds: number;
  rows: RowSummary[];
  notes: string[];
  /** What the check of what was left has said. */
  invariants: string;
}

export function summarizeRows({ rows }: Outcome): RowSummary[] {
  const writ = rows.find(({ isWrit }) => isWrit);
  return rows.map((row) => summarize(row, row.isWrit ? undefined : writ));
}

function summarize(row: Row, writ: Row | undefined): RowSummary {
  const { name, samples } = row;
  const figures = spreads(samples.map((sample) => sample.figures));
  const cpus = samples.flatMap(({ cpu }) => (cpu === undefined ? [] : [cpu]));
  return {
    name,
    figures,
    ...(cpus.length === 0
      ? {}
      : {
          cpu: spreads(cpus),
          cpu_total: spreadOf(cpus.map((cpu) => total(cpu, (process) => !loadProcesses.includes(process)))),
          cpu_total_with_load: spreadOf(cpus.map((cpu) => total(cpu, () => true))),
        }),
    ...(writ === undefined ? {} : { writ_ratio: ratioOf(writ, row) }),
  };
}

function ratioOf(writ: Row, row: Row): Spread {
  const first = (of: Row, round: number): number => Object.values(of.samples[round]?.figures ?? {})[0] ?? NaN;
  return spreadOf(row.samples.map((_, round) => first(writ, round) / first(row, round)));
}

function spreads(samples: readonly Record<string, number>[]): Record<string, Spread> {
  const keys = Object.keys(samples[0] ?? {});
  return Object.fromEntries(keys.map((key) => [key, spreadOf(samples.map((sample) => sample[key] ?? 0))]));
}

function total(cpu: Readonly<Record<string, number>>, counts: (process: string) => boolean): number {
  return Object.entries(cpu).reduce((sum, [process, ms]) => (counts(process) ? sum + ms : sum), 0);
}
