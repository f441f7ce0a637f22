/** What a benchmark answers. */

/** One round of one system. */
export interface Sample {
  /** By name with unit, the one that systems are compared by first: `tasks_per_s`, `p50_ms`, `rss_mb`. */
  figures: Record<string, number>;
  /** CPU milliseconds per 1,000 tasks by process, those that make the load (`loadProcesses`) included. */
  cpu?: Record<string, number>;
}

/** One line of a table: a system, or a way of using it. */
export interface Row {
  name: string;
  isWrit: boolean;
  /** In the order of the rounds. */
  samples: Sample[];
}

export interface Outcome {
  name: string;
  /** What was done, with its size. */
  title: string;
  rows: Row[];
  /** Sentences that a reader of the figures must know. */
  notes: string[];
}

/** Processes that make the load: shown, and not counted in what a system needs. */
export const loadProcesses: readonly string[] = ['generator', 'producer'];
