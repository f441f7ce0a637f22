/** Reads what `node --cpu-prof` writes. */

import { fileURLToPath } from 'node:url';

/** A `Profile` of the Chrome DevTools Protocol (Profiler domain). Times are microseconds of the machine's monotonic clock. */
export interface CpuProfile {
  nodes: ProfileNode[];
  startTime: number;
  endTime: number;
  /** Ids of nodes, one a sample. */
  samples: number[];
  /** Microseconds from the sample before, or from the start. */
  timeDeltas: number[];
}

export interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}

export interface SelfTime {
  name: string;
  url: string;
  /** Counted from 1. */
  line: number;
  ms: number;
}

/** What no work is done in. */
const waiting = new Set(['(idle)', '(root)', '(program)']);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Milliseconds that each node was on top, between two times by the clock of `nowMs`. */
export function nodeTimes(profile: CpuProfile, window: { fromMs: number; toMs: number }): Map<number, number> {
  const times = new Map<number, number>();
  let at = profile.startTime;
  profile.samples.forEach((id, n) => {
    const delta = profile.timeDeltas[n] ?? 0;
    at += delta;
    if (at / 1000 >= window.fromMs && at / 1000 <= window.toMs) times.set(id, (times.get(id) ?? 0) + delta / 1000);
  });
  return times;
}

/** Functions by the time in themselves, the largest first. */
export function selfTimes(profile: CpuProfile, window: { fromMs: number; toMs: number }): SelfTime[] {
  const times = nodeTimes(profile, window);
  const found = new Map<string, SelfTime>();
  for (const { id, callFrame } of profile.nodes) {
    const ms = times.get(id) ?? 0;
    const name = nameOf(callFrame.functionName);
    if (ms === 0 || waiting.has(name)) continue;
    const line = callFrame.lineNumber + 1;
    const key = `${name} ${callFrame.url} ${line}`;
    const known = found.get(key) ?? { name, url: callFrame.url, line, ms: 0 };
    known.ms += ms;
    found.set(key, known);
  }
  return [...found.values()].sort((a, b) => b.ms - a.ms);
}

/** A room of Writ, a package, a module of Node.js, or what the engine itself does. */
export function moduleOf(url: string, name: string): string {
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const inPackage = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
  if (inPackage !== undefined) return inPackage;
  if (path.startsWith(root))
    return path
      .slice(root.length)
      .replace(/^dist\//, '')
      .split('/')
      .slice(0, -1)
      .join('/');
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/');
  return name.startsWith('(') ? name : '(engine)';
}

/** Whether time there is work. */
export function isWork(node: ProfileNode): boolean {
  return !waiting.has(nameOf(node.callFrame.functionName));
}

export function nameOf(functionName: string): string {
  return functionName === '' ? '(anonymous)' : functionName;
}
