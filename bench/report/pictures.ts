/** Pictures of the throughput of all systems, and of the CPU that each process took. */

import { join } from 'node:path';
import { loadProcesses } from '../measure/outcome.ts';
import { draw } from './draw.ts';
import type { RowSummary, Summary } from './summary.ts';

const pictured = ['throughput', 'events'];
/** In the order of the rows, with room for their names. */
const nameAxis = { field: 'name', type: 'nominal', title: null, sort: null, axis: { labelLimit: 300 } };

/** Writes `throughput.svg` and `cpu.svg` where there is something to show; answers why they are not there, where that is so. */
export async function drawPictures(summaries: readonly Summary[], folder: string): Promise<string[]> {
  const rows = summaries.filter(({ name }) => pictured.includes(name)).flatMap((summary) => labelled(summary));
  if (rows.length === 0) return [];
  const problems = [
    await draw({ kind: 'vega-lite', spec: throughputSpec(rows), file: join(folder, 'throughput.svg') }),
    await draw({ kind: 'vega-lite', spec: cpuSpec(rows), file: join(folder, 'cpu.svg') }),
  ];
  return [...new Set(problems.filter((problem) => problem !== undefined))];
}

/** A peer that stands beside both feeds is shown once. */
function labelled({ name, rows }: Summary): RowSummary[] {
  return name === 'throughput' ? rows : rows.filter(({ writ_ratio }) => writ_ratio === undefined);
}

/** Specifications of Vega-Lite: https://vega.github.io/vega-lite/docs/spec.html */
function throughputSpec(rows: readonly RowSummary[]): object {
  const values = rows.map(({ name, figures, writ_ratio }) => ({
    name,
    ...figures['tasks_per_s'],
    kind: writ_ratio === undefined ? 'Writ' : 'peer',
  }));
  const y = nameAxis;
  return {
    ...{ width: 520, height: { step: 26 }, background: 'white', padding: 12 },
    title: 'No-op tasks per second: median, least and most of the rounds',
    data: { values },
    layer: [
      {
        mark: 'bar',
        encoding: {
          y,
          x: { field: 'median', type: 'quantitative', title: 'tasks per second' },
          color: {
            field: 'kind',
            type: 'nominal',
            title: null,
            scale: { range: ['#2f6690', '#b8c4cc'] },
            sort: ['Writ', 'peer'],
          },
        },
      },
      {
        mark: { type: 'rule', strokeWidth: 1.5 },
        encoding: { y, x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
    ],
  };
}

function cpuSpec(rows: readonly RowSummary[]): object {
  const values = rows.flatMap(({ name, cpu = {} }) =>
    Object.entries(cpu)
      .filter(([process]) => !loadProcesses.includes(process))
      .map(([process, { median }]) => ({ name, process, ms: median })),
  );
  return {
    ...{ width: 520, height: { step: 26 }, background: 'white', padding: 12 },
    title: 'CPU milliseconds per 1,000 no-op tasks, without what makes the load',
    data: { values },
    mark: 'bar',
    encoding: {
      y: nameAxis,
      x: { field: 'ms', type: 'quantitative', title: 'milliseconds, median of the rounds' },
      color: { field: 'process', type: 'nominal', title: null, sort: null, scale: { scheme: 'tableau10' } },
    },
  };
}
