/** All benchmarks, in the order in which they run: those that share an installation stand together. */

import type { Benchmark } from '../session.ts';
import { audit } from './audit.ts';
import { backlog } from './backlog.ts';
import { batch100 } from './batch100.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { nodes } from './nodes.ts';
import { profile } from './profile.ts';
import { scale } from './scale.ts';
import { single } from './single.ts';
import { start } from './start.ts';
import { steady } from './steady.ts';
import { events, throughput } from './throughput.ts';

export const benchmarks: readonly Benchmark[] = [
  ...[throughput, latency, single, batch100],
  ...[backlog, memory, steady, scale, audit, nodes],
  ...[events, profile, start],
];
