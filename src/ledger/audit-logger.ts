/** Appends audit records inside the transaction of the change that they tell of. */

import type { RecordId } from '../domain/ids.ts';
import { newId } from '../domain/ids.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { recordParts, type RecordBody } from '../proof/record.ts';

/** A record as the rooms write it: the ledger adds version, log, id, number, chain and time. */
export type RecordDraft = Omit<RecordBody, 'v' | 'log' | 'id'> & { id?: RecordId };

/** The nine array parameters of the SQL function `append_records`. */
export type RecordArrays = readonly [
  ids: string[],
  types: string[],
  outcomes: string[],
  actors: (string | null)[],
  targets: (string | null)[],
  beforePrev: string[],
  beforeSeq: string[],
  beforeTs: string[],
  afterTs: string[],
];

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
    const arrays: RecordArrays = [[], [], [], [], [], [], [], [], []];
    for (const draft of drafts) {
      const id = draft.id ?? newId<RecordId>();
      const parts = recordParts({ ...draft, v: 1, log: this.#origin, id });
      arrays[0].push(id);
      arrays[1].push(draft.type);
      arrays[2].push(draft.outcome);
      arrays[3].push(draft.actor?.id ?? null);
      arrays[4].push(draft.target !== undefined && 'id' in draft.target ? draft.target.id : null);
      arrays[5].push(parts.before_prev);
      arrays[6].push(parts.before_seq);
      arrays[7].push(parts.before_ts);
      arrays[8].push(parts.after_ts);
    }
    return arrays;
  }

  /** Appends in the caller's transaction. */
  async append(tx: Queryable, drafts: readonly RecordDraft[]): Promise<void> {
    if (drafts.length === 0) return;
    await tx.query({
      name: 'append_records',
      text: 'select append_records($1, $2, $3, $4, $5, $6, $7, $8, $9)',
      values: [...this.arrays(drafts)],
    });
  }
}
