/** Whether what was ordered is what was submitted (formats.md rule 10). */

import { canonicalize } from './canonical-json.ts';
import { Column } from './column.ts';
import { sha256, sha256Hex } from './hash.ts';
import { HexTable } from './hex-table.ts';
import type { Grant, ManifestPayload } from './manifest.ts';

/** A submission that waits for the first order of each of its tasks. */
interface Submission {
  tasksSha256: string;
  taskHashes: (Buffer | undefined)[];
  waiting: number;
}

/** Owns the submissions whose tasks were not all ordered yet; the others cost a few bytes a task. */
export class Submissions {
  readonly #tasks = new HexTable(4);
  /** Number of a task's submission; −1 where its first order was seen, or no submission. */
  readonly #submissionOf = new Column();
  readonly #position = new Column();
  readonly #submissions = new Map<number, Submission>();
  #count = 0;
  #changed = 0;
  #unsubmitted = 0;

  /** Tasks that were submitted together, and the hash over their `task_sha256` values in this order. */
  submit(taskIds: readonly string[], tasksSha256: string): void {
    const number = this.#count++;
    const submission = { tasksSha256, taskHashes: new Array<Buffer | undefined>(taskIds.length), waiting: 0 };
    for (const [position, taskId] of taskIds.entries()) {
      const before = this.#tasks.size;
      const task = this.#tasks.add(taskId);
      if (task < before) continue;
      this.#submissionOf.set(task, number);
      this.#position.set(task, position);
      submission.waiting++;
    }
    if (submission.waiting === taskIds.length) this.#submissions.set(number, submission);
  }

  /** The orders of a manifest: the first of each task is compared. */
  order(manifest: ManifestPayload): void {
    const around = new Map<number, [before: string, after: string]>();
    for (const order of manifest.orders) {
      const before = this.#tasks.size;
      const task = this.#tasks.add(order.task_id);
      if (task === before) this.#unsubmitted++;
      const number = this.#submissionOf.get(task);
      this.#submissionOf.set(task, -1);
      const submission = this.#submissions.get(number);
      const grant = manifest.grants[order.grant];
      if (submission === undefined || grant === undefined) continue;
      const [head, tail] = around.get(order.grant) ?? taskTextAround(grant);
      around.set(order.grant, [head, tail]);
      submission.taskHashes[this.#position.get(task)] = sha256(head + order.payload_sha256 + tail);
      if (--submission.waiting === 0) this.#compare(number, submission);
    }
  }

  counts(): { changed_submissions: number; unsubmitted: number } {
    return { changed_submissions: this.#changed, unsubmitted: this.#unsubmitted };
  }

  #compare(number: number, { taskHashes, tasksSha256 }: Submission): void {
    const hashes = taskHashes.filter((hash) => hash !== undefined);
    if (sha256Hex(Buffer.concat(hashes)) !== tasksSha256) this.#changed++;
    this.#submissions.delete(number);
  }
}

/** The text that `taskSha256` hashes, before and after the payload's hash: the same for all orders of a grant. */
function taskTextAround(grant: Omit<Grant, 'approvals'>): [before: string, after: string] {
  const { tool, tool_digest, action, effects, timeout_s, scope, requested_by, required_role } = grant;
  const common = { tool, tool_digest, action, effects, timeout_s, scope, requested_by, required_role };
  const text = canonicalize({ ...common, payload_sha256: '' });
  // Quotes inside texts are escaped, so this can only be the member itself.
  const end = text.indexOf('"payload_sha256":""') + '"payload_sha256":"'.length;
  return [text.slice(0, end), text.slice(end)];
}
