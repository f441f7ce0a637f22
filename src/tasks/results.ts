/** Parameters of the SQL function that stores ended attempts. */

import type { EndState } from '../domain/task-state.ts';
import {
  bigintArray,
  byteaArray,
  hexArray,
  intArray,
  Kinds,
  timeArray,
  uuidArray,
} from '../platform/postgres/arrays.ts';
import { placeholders } from '../platform/postgres/placeholders.ts';

/** An attempt that ended; `state` is set where it ended the task. Hashes in hex. */
export interface EndedAttempt {
  task_id: string;
  attempt: number;
  state: EndState | null;
  /** What its node said; `lost` where no node will; null where it never was an order. */
  status: string | null;
  reason?: string | null;
  node_id?: string | null;
  manifest?: string | null;
  receipt?: string | null;
  started_at?: string | null;
  ended_at?: string | null;
  output?: Buffer | null;
  output_sha256?: string | null;
  output_bytes?: number | null;
  error?: { code: string; message: string } | null;
  metadata?: Buffer | null;
  record_id: string;
}

/** How many parameters `insert_results` has before the moves. */
export const resultParameters = 17;

/** Call of `insert_results` with its parameters from `$first` on, and the moves of the same tasks as its last. */
export function resultsCall(first: number, moves: string): string {
  return `insert_results(${placeholders(first, resultParameters)}, ${moves})`;
}

type ResultKind = readonly [
  state: EndState | null,
  status: string | null,
  reason: string | null,
  nodeId: string | null,
  manifest: string | null,
  receipt: string | null,
  recordId: string,
];

/** Reads times, most of which are the one before. */
function msReader(): (time: string | null | undefined) => number | null {
  let last: { time: string; ms: number } | undefined;
  return (time) => {
    if (time == null) return null;
    if (last?.time !== time) last = { time, ms: Date.parse(time) };
    return last.ms;
  };
}

/** The parameters of `insert_results`, but for the moves. */
export function resultColumns(ended: readonly EndedAttempt[]): unknown[] {
  const kinds = new Kinds<ResultKind>();
  const msOf = msReader();
  for (const e of ended) {
    kinds.add([
      e.state,
      e.status,
      e.reason ?? null,
      e.node_id ?? null,
      e.manifest ?? null,
      e.receipt ?? null,
      e.record_id,
    ]);
  }
  return [
    uuidArray(ended.map((e) => e.task_id)),
    intArray(ended.map((e) => e.attempt)),
    intArray(kinds.positions),
    timeArray(ended.map((e) => msOf(e.started_at))),
    timeArray(ended.map((e) => msOf(e.ended_at))),
    byteaArray(ended.map((e) => e.output ?? null)),
    hexArray(ended.map((e) => e.output_sha256 ?? null)),
    bigintArray(ended.map((e) => e.output_bytes ?? null)),
    ended.some((e) => e.error != null) ? ended.map((e) => (e.error == null ? null : JSON.stringify(e.error))) : [],
    byteaArray(ended.map((e) => e.metadata ?? null)),
    ...kinds.columns(7),
  ];
}
