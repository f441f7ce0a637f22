/** Parameters of the SQL function that stores ended attempts. */

import type { EndState } from '../domain/task-state.ts';

/** An attempt that ended; `state` is set where it ended the task. Hashes are raw bytes. */
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

/** Call of `insert_results` with sixteen parameters from `$first` on, and the moves of the same tasks as its last. */
export function resultsCall(first: number, moves: string): string {
  return `insert_results(${Array.from({ length: 16 }, (_, i) => `$${(first + i).toString()}`).join(', ')}, ${moves})`;
}

/** The sixteen array parameters of `insert_results`. */
export function resultColumns(ended: readonly EndedAttempt[]): unknown[][] {
  return [
    ended.map((e) => e.task_id),
    ended.map((e) => e.attempt),
    ended.map((e) => e.state),
    ended.map((e) => e.status),
    ended.map((e) => e.reason ?? null),
    ended.map((e) => e.node_id ?? null),
    ended.map((e) => e.manifest ?? null),
    ended.map((e) => e.receipt ?? null),
    ended.map((e) => e.started_at ?? null),
    ended.map((e) => e.ended_at ?? null),
    ended.map((e) => e.output ?? null),
    ended.map((e) => (e.output_sha256 == null ? null : `\\x${e.output_sha256}`)),
    ended.map((e) => e.output_bytes ?? null),
    ended.map((e) => (e.error == null ? null : JSON.stringify(e.error))),
    ended.map((e) => e.metadata ?? null),
    ended.map((e) => e.record_id),
  ];
}
