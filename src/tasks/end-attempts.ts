/** Ends of attempts: what became of them is kept, their tasks move, and records tell of it. */

import { recordsCall, type RecordArrays } from '../ledger/audit-logger.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { resultColumns, resultParameters, resultsCall, type EndedAttempt } from './results.ts';
import { taskRecordColumns, taskRecordParameters, taskRecordsCall, type TaskRecord } from './task-records.ts';
import { moveCall, moveColumns, moveParameters, type Move } from './transition.ts';

/** `moves` and `ended` tell of the same attempts, in the same order. */
export interface AttemptEnds {
  ended: readonly EndedAttempt[];
  moves: readonly Move[];
  taskRecords: readonly TaskRecord[];
}

const taskRecordsAt = resultParameters + moveParameters;
/** How many parameters the calls of `endsCalls` have. */
export const endParameters = taskRecordsAt + taskRecordParameters;

/** Calls that keep ends, move tasks and note their records, with parameters from `$first` on. */
export function endsCalls(first: number): string {
  return `${resultsCall(first, moveCall(first + resultParameters))}, ${taskRecordsCall(first + taskRecordsAt)}`;
}

/** The parameters of `endsCalls`. */
export function endsColumns({ ended, moves, taskRecords }: AttemptEnds): unknown[] {
  return [...resultColumns(ended), ...moveColumns(moves), ...taskRecordColumns(taskRecords)];
}

/** Ends attempts and appends the records, all or nothing. Fails with WR002 and the ids of tasks that moved meanwhile. */
export async function endAttempts(db: Queryable, ends: AttemptEnds, records: RecordArrays): Promise<void> {
  await db.query({
    name: 'end_attempts',
    text: `select ${endsCalls(1)}, ${recordsCall(1 + endParameters)}`,
    values: [...endsColumns(ends), ...records],
  });
}
