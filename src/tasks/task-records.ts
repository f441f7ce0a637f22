/** Which records tell of which tasks, beside submissions, manifests and receipts. */

import { placeholders } from '../platform/postgres/placeholders.ts';

export interface TaskRecord {
  task_id: string;
  record_id: string;
}

/** How many parameters `insert_task_records` has. */
export const taskRecordParameters = 2;

/** Call of `insert_task_records` with its parameters from `$first` on. */
export function taskRecordsCall(first: number): string {
  return `insert_task_records(${placeholders(first, taskRecordParameters)})`;
}

/** The parameters of `insert_task_records`. */
export function taskRecordColumns(taskRecords: readonly TaskRecord[]): unknown[] {
  return [taskRecords.map(({ task_id }) => task_id), taskRecords.map(({ record_id }) => record_id)];
}
