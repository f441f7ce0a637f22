/** Draws a CPU profile as a flame graph: width is time, what calls is below what is called. */

import { isWork, moduleOf, nameOf, nodeTimes, type CpuProfile, type ProfileNode } from './cpu-profile.ts';
import { draw } from './draw.ts';

interface Frame {
  x: number;
  x2: number;
  depth: number;
  name: string;
  /** What colours it. */
  room: string;
  title: string;
}

const width = 1400;
const rowHeight = 16;
/** Frames narrower than this share of the whole are left out. */
const leastShare = 0.002;

/** Writes the picture; answers why it cannot be drawn, where that is so. */
export function drawFlames(
  profile: CpuProfile,
  window: { fromMs: number; toMs: number },
  title: string,
  file: string,
): Promise<string | undefined> {
  const frames = framesOf(profile, nodeTimes(profile, window));
  const height = (Math.max(0, ...frames.map(({ depth }) => depth)) + 1) * rowHeight;
  return draw({ kind: 'vega', spec: specOf(title, frames, height), file });
}

function framesOf(profile: CpuProfile, times: ReadonlyMap<number, number>): Frame[] {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const totals = new Map<number, number>();
  const totalOf = (node: ProfileNode): number => {
    const own = isWork(node) ? (times.get(node.id) ?? 0) : 0;
    const total = (node.children ?? []).reduce((sum, id) => sum + totalOf(nodes.get(id)!), own);
    totals.set(node.id, total);
    return total;
  };
  const root = profile.nodes[0]!;
  const allMs = totalOf(root);
  const frames: Frame[] = [];
  const place = (siblings: readonly ProfileNode[], depth: number, from: number): void => {
    let x = from;
    for (const { members, ms } of merged(siblings, totals)) {
      const { functionName, url } = members[0]!.callFrame;
      const share = ms / allMs;
      if (share < leastShare) continue;
      const name = nameOf(functionName);
      const room = moduleOf(url, name);
      frames.push({
        ...{ x: x * width, x2: (x + share) * width, depth, name, room },
        title: `${name} (${room}) ${(share * 100).toFixed(1)} %`,
      });
      const called = members.flatMap(({ children = [] }) => children.map((id) => nodes.get(id)!));
      place(called, depth + 1, x);
      x += share;
    }
  };
  place(
    (root.children ?? []).map((id) => nodes.get(id)!),
    0,
    0,
  );
  return frames;
}

/** Calls of one function from one place are one frame, the largest first. */
function merged(
  siblings: readonly ProfileNode[],
  totals: ReadonlyMap<number, number>,
): { members: ProfileNode[]; ms: number }[] {
  const groups = new Map<string, { members: ProfileNode[]; ms: number }>();
  for (const node of siblings) {
    const { functionName, url, lineNumber } = node.callFrame;
    const key = `${functionName} ${url} ${lineNumber}`;
    const group = groups.get(key) ?? { members: [], ms: 0 };
    group.members.push(node);
    group.ms += totals.get(node.id) ?? 0;
    groups.set(key, group);
  }
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

/** A Vega specification: https://vega.github.io/vega/docs/specification/ */
function specOf(title: string, frames: readonly Frame[], height: number): object {
  const top = { signal: `${height - rowHeight} - datum.depth * ${rowHeight}` };
  return {
    ...{ width, height, padding: 8, background: 'white' },
    title: { text: `CPU of ${title}: width is time without idling`, anchor: 'start' },
    data: [{ name: 'frames', values: frames }],
    scales: [
      { name: 'room', type: 'ordinal', domain: { data: 'frames', field: 'room' }, range: { scheme: 'tableau20' } },
    ],
    marks: [
      {
        type: 'rect',
        from: { data: 'frames' },
        encode: {
          enter: {
            ...{ x: { field: 'x' }, x2: { field: 'x2' }, y: top, height: { value: rowHeight - 1 } },
            ...{ fill: { scale: 'room', field: 'room' }, fillOpacity: { value: 0.65 } },
            ...{ stroke: { value: 'white' }, strokeWidth: { value: 0.5 } },
            description: { field: 'title' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'frames' },
        encode: {
          enter: {
            ...{
              x: { signal: 'datum.x + 3' },
              y: { signal: `${height - rowHeight / 2} - datum.depth * ${rowHeight}` },
            },
            ...{ baseline: { value: 'middle' }, fontSize: { value: 10 }, font: { value: 'sans-serif' } },
            text: { signal: "datum.x2 - datum.x > 24 ? datum.name : ''" },
            limit: { signal: 'datum.x2 - datum.x - 6' },
          },
        },
      },
    ],
  };
}
