/** Interns what a task needs of a node, so that the queue is read by one small number. */

import { AppError } from '../domain/error.ts';
import type { Database } from '../platform/postgres/pool.ts';
import { canonicalizeWithFloats } from '../proof/canonical-json.ts';
import { isEmpty } from './is-empty.ts';

export interface Requirement {
  requirement: number;
  tool: string;
  tool_digest: string;
  constraints: Record<string, string>;
}

/** Distinct sets of tool and labels that are kept; submitters choose the labels. */
const requirementsMax = 20_000;
/** Numbers may become visible out of order by as much. */
const overlap = 1000;

/** Owns the table `requirements`; all of them are in memory, which bounds how many there may be. */
export class Requirements {
  readonly #database: Database;
  readonly #byKey = new Map<string, Requirement>();
  readonly #byNumber = new Map<number, Requirement>();
  #last = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** What a number stands for; undefined until `load` has seen it. */
  find(requirement: number): Requirement | undefined {
    return this.#byNumber.get(requirement);
  }

  /** Reads those that were made since. */
  async load(): Promise<void> {
    const found = await this.#database.query<Requirement>({
      name: 'read_requirements',
      text: 'select requirement, tool, tool_digest, constraints from requirements where requirement > $1 order by requirement',
      values: [Math.max(0, this.#last - overlap)],
    });
    for (const row of found.rows) this.#keep(row);
  }

  /** The numbers of what is wanted, in order; one query where one is new, none otherwise. */
  async intern(wanted: readonly Omit<Requirement, 'requirement'>[]): Promise<number[]> {
    const missing = new Map<string, Omit<Requirement, 'requirement'>>();
    const keys = keysOf(wanted);
    for (const [i, one] of wanted.entries()) {
      const key = keys[i] ?? '';
      if (!this.#byKey.has(key)) missing.set(key, one);
    }
    if (missing.size > 0) {
      this.#checkRoom(missing.size);
      await this.#insert([...missing.values()]);
    }
    return keys.map((key) => {
      const known = this.#byKey.get(key);
      if (known === undefined) throw new Error('a requirement is missing after its insert');
      return known.requirement;
    });
  }

  /** A submitter could fill the memory of every orchestrator with labels of its own. */
  #checkRoom(wanted: number): void {
    if (this.#byNumber.size + wanted <= requirementsMax) return;
    throw new AppError('unavailable', 'There are too many different constraints. Use fewer label values.', {
      reason: 'too_many_constraints',
    });
  }

  async #insert(missing: Omit<Requirement, 'requirement'>[]): Promise<void> {
    const columns = [
      missing.map(({ tool }) => tool),
      missing.map(({ tool_digest }) => tool_digest),
      missing.map(({ constraints }) => JSON.stringify(constraints)),
    ];
    await this.#database.query({
      name: 'insert_requirements',
      text: `insert into requirements (tool, tool_digest, constraints)
             select * from unnest($1::text[], $2::text[], $3::jsonb[]) on conflict do nothing`,
      values: columns,
    });
    await this.load();
  }

  #keep(row: Requirement): void {
    this.#byKey.set(keyOf(row), row);
    this.#byNumber.set(row.requirement, row);
    this.#last = Math.max(this.#last, row.requirement);
  }
}

/** What is wanted is nearly always what was wanted before it. */
function keysOf(wanted: readonly Omit<Requirement, 'requirement'>[]): string[] {
  let last: Omit<Requirement, 'requirement'> | undefined;
  let key = '';
  return wanted.map((one) => {
    const isSame =
      last?.tool === one.tool &&
      last.tool_digest === one.tool_digest &&
      isEmpty(last.constraints) &&
      isEmpty(one.constraints);
    if (!isSame) key = keyOf(one);
    last = one;
    return key;
  });
}

function keyOf({ tool, tool_digest, constraints }: Omit<Requirement, 'requirement'>): string {
  return `${tool} ${tool_digest} ${isEmpty(constraints) ? '{}' : canonicalizeWithFloats(constraints)}`;
}
