/** The port to the audit log's high-water mark, kept where a restored database cannot reach it. */

export interface MarkValue {
  /** Number of records. */
  size: number;
  /** Root hash over the first `size` leaves, standard base64. */
  root: string;
}

/** Holds one mark for each log, named by its origin; it only ever moves up. */
export interface Mark {
  /** The mark as it is kept now; undefined for a log that never had one. Fails `unavailable`. */
  read(): Promise<MarkValue | undefined>;
  /**
   * Moves the mark if it still is `expected` (check-and-set). Durable when it returns. Fails `conflict` where
   * somebody else moved it, and for a smaller size.
   */
  write(expected: MarkValue | undefined, next: MarkValue): Promise<void>;
}
