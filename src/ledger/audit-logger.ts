/** Appends audit records inside the transaction of the change that they tell of. */

import type { RecordId } from '../domain/ids.ts';
import { newId } from '../domain/ids.ts';
import { textArray } from '../platform/postgres/arrays.ts';
import { placeholders } from '../platform/postgres/placeholders.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { recordParts, type RecordBody } from '../proof/record.ts';

/** A record as the rooms write it: the ledger adds version, log, id, number, chain and time. */
export type RecordDraft = Omit<RecordBody, 'v' | 'log' | 'id'> & { id?: RecordId };

/** The array parameters of the SQL function `append_records`. */
export type RecordArrays = readonly [
  ids: string[],
  types: string[],
  outcomes: string[],
  actors: (string | null)[],
  targets: (string | null)[],
  beforePrev: Buffer,
  beforeSeq: Buffer,
  beforeTs: Buffer,
  afterTs: Buffer,
];

/** How many parameters `append_records` has. */
export const recordParameters = 9;

/** Call of `append_records` with its parameters from `$first` on. */
export function recordsCall(first: number): string {
  return `append_records(${placeholders(first, recordParameters)})`;
}

/**
 * Owns the way into the log. A record that is too large, or not canonical JSON, fails with a ProofError before anything
 * is written, and the change with it: nothing happens that the log cannot tell.
 */
export class AuditLogger {
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Parameters for `append_records`, so that a change and its records are one statement. */
  arrays(drafts: readonly RecordDraft[]): RecordArrays {
    const records = drafts.map((draft) => ({ ...draft, id: draft.id ?? newId<RecordId>() }));
    const parts = records.map((record) => recordParts({ ...record, v: 1, log: this.#origin }));
    return [
      records.map(({ id }) => id),
      records.map(({ type }) => type),
      records.map(({ outcome }) => outcome),
      records.map(({ actor }) => actor?.id ?? null),
      records.map(({ target }) => (target !== undefined && 'id' in target ? target.id : null)),
      textArray(parts.map(({ before_prev }) => before_prev)),
      textArray(parts.map(({ before_seq }) => before_seq)),
      textArray(parts.map(({ before_ts }) => before_ts)),
      textArray(parts.map(({ after_ts }) => after_ts)),
    ];
  }

  /** Appends in the caller's transaction. */
  async append(tx: Queryable, drafts: readonly RecordDraft[]): Promise<void> {
    if (drafts.length === 0) return;
    await tx.query({
      name: 'append_records',
      text: `select ${recordsCall(1)}`,
      values: [...this.arrays(drafts)],
    });
  }
}
