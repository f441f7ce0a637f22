/** A statement on a task's way, in a loop, or behind a call of the API, with what it may read. */

import type { Database } from '../../src/platform/postgres/pool.ts';
import type { Load } from './load.ts';

export interface HotStatement {
  name: string;
  /** Runs it as the product does, for what `load` names. */
  run(database: Database, load: Load): Promise<unknown>;
  /** Indexes of tables that grow, all of which it reads by. */
  indexes: readonly string[];
  /** Indexes that it may read by too, where there are two good ways. */
  also?: readonly string[];
  /** A table that it reads as a whole: whoever runs it sees to it that this takes a small part of the time. */
  walks?: string;
  /** It is not prepared: each run is planned for its own parameters and the tables as they are. */
  isPlannedEachTime?: boolean;
  /** Rows of tables that it has to look at, at most. */
  rows: (load: Load) => number;
  /** Rows that it writes, at most. */
  writes?: (load: Load) => number;
  /** Makes sure, before it is run in vain, that it finds nothing: for statements that are not asked for anything by name. */
  emptied?: (database: Database) => Promise<unknown>;
}
