/** What became of every order that a log gave (formats.md rules 15 to 17). */

import { Column } from './column.ts';
import { HexTable } from './hex-table.ts';
import type { Order } from './manifest.ts';
import { holdRule } from './rule.ts';

const open = 0;
const accepted = 1;
const lost = 2;
const voided = 3;

/** Of a manifest whose bytes are not there to be read. */
const unknownManifest = -1;

/** What the tally of a log's attempts comes to. */
export interface AttemptCounts {
  tasks: number;
  orders: number;
  accepted: number;
  lost: number;
  voided: number;
  late: number;
  /** Orders without a stop at the end. */
  open: number;
  /** Late results of orders that their node never had, or that had no stop: what the node claimed. */
  stray: number;
  /** Answers to orders that the bundle does not show: given before it begins, or by pruned manifests. */
  unknown: number;
}

/**
 * Owns the state of each attempt. An attempt is a row; the rows of a manifest are neighbours, those of a task are
 * linked from the latest back.
 */
export class Attempts {
  readonly #tasks = new HexTable(4);
  readonly #latest = new Column();
  readonly #highest = new Column();
  readonly #number = new Column();
  readonly #state = new Column();
  readonly #manifest = new Column();
  readonly #before = new Column();
  readonly #manifestNode = new Column();
  readonly #manifestStart = new Column();
  readonly #manifestEnd = new Column();
  readonly #counts = { accepted: 0, lost: 0, voided: 0, late: 0, stray: 0, unknown: 0, orders: 0 };
  /** Whether orders may exist that are not known here. */
  mayMissOrders = false;

  /** The orders of a manifest, addressed to a node; answers the manifest's number. */
  issue(node: number, orders: readonly Order[]): number {
    const manifest = this.#manifestNode.push(node);
    this.#manifestStart.push(this.#number.length);
    for (const order of orders) {
      const task = this.#tasks.add(order.task_id);
      const isHigher = order.attempt > this.#highest.get(task) && order.attempt < 2 ** 31;
      holdRule(isHigher, 17, 'an attempt is not higher than those before for its task');
      this.#highest.set(task, order.attempt);
      this.#add(task, order.attempt, manifest, open);
      this.#counts.orders++;
    }
    this.#manifestEnd.push(this.#number.length);
    return manifest;
  }

  /** Takes a manifest's orders back: they are no orders, and must not have been answered. */
  void(manifest: number): void {
    for (let row = this.#manifestStart.get(manifest); row < this.#manifestEnd.get(manifest); row++) {
      holdRule(this.#state.get(row) === open, 16, 'a void manifest whose orders have a stop already');
      this.#state.set(row, voided);
      this.#counts.voided++;
    }
  }

  /** A result that counted: the one stop of its order, by the node that the manifest names. */
  accept(node: number | undefined, taskId: string, attempt: number): void {
    this.#counts.accepted++;
    this.#stop(taskId, attempt, accepted, node);
  }

  /** An order that was given up: its one stop. */
  lose(taskId: string, attempt: number): void {
    this.#counts.lost++;
    this.#stop(taskId, attempt, lost, undefined);
  }

  /**
   * A result that did not count. It is what its node claims, and can contradict nothing: a node may sign results of
   * orders that it never had, and the log tells of them truly.
   */
  late(node: number | undefined, taskId: string, attempt: number): void {
    this.#counts.late++;
    const row = this.#find(this.#tasks.find(taskId), attempt);
    if (row < 0) {
      if (this.mayMissOrders) this.#counts.unknown++;
      else this.#counts.stray++;
      return;
    }
    const state = this.#state.get(row);
    if ((state !== lost && state !== accepted) || !this.#isBy(row, node)) this.#counts.stray++;
  }

  counts(): AttemptCounts {
    let openCount = 0;
    for (let row = 0; row < this.#state.length; row++) if (this.#state.get(row) === open) openCount++;
    return { ...this.#counts, tasks: this.#tasks.size, open: openCount };
  }

  #stop(taskId: string, attempt: number, state: number, node: number | undefined): void {
    const task = this.#tasks.add(taskId);
    const row = this.#find(task, attempt);
    if (row < 0) {
      this.#expectUnknown();
      this.#add(task, attempt, unknownManifest, state);
      return;
    }
    holdRule(this.#state.get(row) !== voided, 16, 'a stop of an order of a void manifest');
    holdRule(this.#state.get(row) === open, 15, 'a second stop of an order');
    holdRule(this.#isBy(row, node), 15, 'an answer by another node than the manifest names');
    this.#state.set(row, state);
  }

  #expectUnknown(): void {
    holdRule(this.mayMissOrders, 15, 'an answer to an order that no manifest gave');
    this.#counts.unknown++;
  }

  #isBy(row: number, node: number | undefined): boolean {
    const manifest = this.#manifest.get(row);
    return manifest === unknownManifest || node === undefined || this.#manifestNode.get(manifest) === node;
  }

  #add(task: number, attempt: number, manifest: number, state: number): void {
    const row = this.#number.push(attempt);
    this.#manifest.push(manifest);
    this.#state.push(state);
    this.#before.push(this.#latest.get(task));
    this.#latest.set(task, row);
  }

  #find(task: number, attempt: number): number {
    let row = task < 0 ? -1 : this.#latest.get(task);
    while (row >= 0 && this.#number.get(row) !== attempt) row = this.#before.get(row);
    return row;
  }
}
