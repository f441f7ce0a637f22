/** Decides which tasks run next: fair turns between principals and their sources, by rank within. */

import type { ReadyTask } from '../tasks/ready-task.ts';
import type { Place } from '../domain/peer-work.ts';
import { nilUuid } from '../proof/ids.ts';
import { Ring } from './ring.ts';
import { goesBefore } from './task-heap.ts';
import { beforeAll, Window, type FoundRows, type WindowKey } from './window.ts';

export interface SchedulerSizes {
  /** Tasks held in memory over all windows, about. */
  held: number;
  /** Rows that one read gives at most. */
  page: number;
  /** Tasks that each window may hold, however many windows there are. */
  windowMin: number;
}

const defaultSizes: SchedulerSizes = { held: 20_000, page: 4000, windowMin: 64 };
/** Beyond so many windows, empty ones are let go. */
const idleWindowsMax = 256;
/** Windows that one `resync` reads again; the next goes on from there. */
const resyncMax = 256;
/** Tasks that one `take` looks at in vain: those that another node is to run. */
const passedOverMax = 1000;

/** Reads queued rows of a window after a key, in order. Tasks that are handed out may be among them. */
export type ReadWindow = (
  window: Pick<Window, 'requirement' | 'principal' | 'source'>,
  after: WindowKey,
  limit: number,
) => Promise<ReadyTask[]>;

/** Where these have been queued: few places, since tasks of one call have most in common. */
export function placesOf(tasks: readonly ReadyTask[]): Place[] {
  const places = new Map<string, Place>();
  let at: Place | undefined;
  for (const { requirement, principal, source, rank, task_id } of tasks) {
    if (at?.requirement !== requirement || at.principal !== principal || at.source !== source || at.rank !== rank) {
      const key = JSON.stringify([requirement, principal, source, rank]);
      at = places.get(key) ?? { requirement, principal, source, rank, count: 0, last: task_id };
      places.set(key, at);
    }
    at.count++;
    if (task_id > at.last) at.last = task_id;
  }
  return [...places.values()];
}

/** What one source of a principal has queued: a window for each requirement. */
type SourceQueue = Map<number, Window>;

/**
 * Owns the memory windows over the queue. Everything here is a cache: what is handed out is checked again by the transaction
 * that dispatches it, and what is lost here is read again.
 *
 * A task is known from the moment it is held until no read is under way that began before it was dispatched or ended: such a
 * read's snapshot may still show it as queued.
 */
export class TaskScheduler {
  readonly #read: ReadWindow;
  readonly #sizes: SchedulerSizes;
  readonly #principals = new Ring<Ring<SourceQueue>>();
  #windows: Window[] = [];
  /** Attempt under which each known task was last offered. */
  readonly #known = new Map<string, number>();
  /** Known tasks that were dispatched, ended or withdrawn. */
  readonly #gone = new Map<string, number>();
  #reading = false;
  #offeredWhileReading: ReadyTask[] = [];
  #held = 0;
  #resyncAt = 0;
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(read: ReadWindow, sizes: SchedulerSizes = defaultSizes) {
    this.#read = read;
    this.#sizes = sizes;
  }

  /** Tasks that could be handed out without a read. */
  get held(): number {
    return this.#held;
  }

  /** Takes tasks that have become ready; what is known already under this attempt or a later one is passed over. */
  offer(tasks: readonly ReadyTask[]): void {
    for (const task of tasks) {
      if (this.#isKnown(task)) continue;
      const window = this.#window(task.requirement, task.principal, task.source);
      if (this.#reading) this.#offeredWhileReading.push(task);
      if (window.offer(task, this.#windowMax())) this.#hold(task);
    }
  }

  /**
   * Hands out up to `count` tasks that a node can run, fair turns first. `canRun` tells by requirement; `mayRun` may pass a
   * single task over (it is then kept). The tasks stay known until `forget` or `putBack`.
   */
  take(count: number, canRun: (requirement: number) => boolean, mayRun: (task: ReadyTask) => boolean): ReadyTask[] {
    const taken: ReadyTask[] = [];
    const passedOver: ReadyTask[] = [];
    let idleTurns = 0;
    while (taken.length < count && idleTurns < this.#principals.size) {
      const task = this.#takeOne(canRun);
      if (task === undefined) {
        idleTurns++;
        continue;
      }
      idleTurns = 0;
      if (mayRun(task)) taken.push(task);
      else if (passedOver.push(task) > passedOverMax) break;
    }
    this.putBack(passedOver);
    return taken;
  }

  /** Takes back what could not be dispatched now. */
  putBack(tasks: readonly ReadyTask[]): void {
    for (const task of tasks) {
      if (this.#known.get(task.task_id) !== task.attempt) continue;
      this.#window(task.requirement, task.principal, task.source).heap.push(task);
      this.#held++;
    }
  }

  /** These were dispatched, ended or withdrawn under the given attempt. */
  forget(tasks: readonly { task_id: string; attempt: number }[]): void {
    for (const { task_id, attempt } of tasks) {
      const known = this.#known.get(task_id);
      if (this.#reading) this.#gone.set(task_id, Math.max(attempt, known ?? attempt));
      if (known !== undefined && known <= attempt) this.#known.delete(task_id);
    }
  }

  /** Makes windows for queues that exist in the database. */
  discover(keys: readonly { requirement: number; principal: string; source: string }[]): void {
    for (const { requirement, principal, source } of keys) this.#window(requirement, principal, source);
  }

  /** Reads on where a window runs low. True where something was read. */
  async refill(): Promise<boolean> {
    const low = this.#windows.filter((window) => !window.complete && window.heap.size < this.#page() / 4);
    let isFilled = false;
    for (const window of low) isFilled = (await this.#inTurn(() => this.#readOn(window))) || isFilled;
    return isFilled;
  }

  /**
   * Reads the beginning of windows again, some at a time: finds what other processes have queued below their high keys. What lies deeper is at the
   * beginning before it is its turn.
   */
  async resync(): Promise<void> {
    const first = this.#resyncAt < this.#windows.length ? this.#resyncAt : 0;
    const some = this.#windows.slice(first, first + resyncMax);
    this.#resyncAt = first + some.length;
    for (const window of some) await this.#inTurn(() => this.#readAgain(window));
    if (this.#windows.length > idleWindowsMax) this.#prune();
  }

  /** Reads what another process has queued at this place. */
  async look(place: Place): Promise<void> {
    const window = this.#window(place.requirement, place.principal, place.source);
    const first: WindowKey = { rank: place.rank, task_id: nilUuid };
    let after = await this.#lookAfter(window, first, place, Math.min(place.count, this.#page()));
    while (after !== undefined) after = await this.#lookAfter(window, after, place, this.#page());
  }

  /** Reads one page; answers the key to go on from, if what was looked for may lie beyond it. */
  async #lookAfter(
    window: Window,
    after: WindowKey,
    { rank, last }: Place,
    limit: number,
  ): Promise<WindowKey | undefined> {
    // What lies beyond what is held is read when the window has come that far.
    if (!window.complete && goesBefore(window.high, { rank, task_id: last })) return undefined;
    let end: WindowKey | undefined;
    await this.#inTurn(() =>
      this.#readInto(window, after, limit, (fresh, key, reachesEnd) => {
        const isBeyond = reachesEnd || key === undefined || !goesBefore(key, { rank, task_id: last });
        end = isBeyond ? undefined : key;
        return fresh.filter((task) => window.offer(task, this.#windowMax()));
      }),
    );
    return end;
  }

  /** Lets go of windows that hold nothing: labels of submitters come and go. */
  #prune(): void {
    this.#windows = this.#windows.filter((window) => window.heap.size > 0 || !window.complete);
    this.#principals.clear();
    for (const window of this.#windows) this.#queueOf(window).set(window.requirement, window);
  }

  /** One read after the other: what was dispatched while one is under way is remembered until its end, and no longer. */
  #inTurn(read: () => Promise<boolean>): Promise<boolean> {
    const reading = this.#lastRead.then(read);
    this.#lastRead = reading.catch(() => undefined);
    return reading;
  }

  #readOn(window: Window): Promise<boolean> {
    return this.#readInto(window, window.high, this.#page(), (...found) => {
      window.extend(...found);
      return found[0];
    });
  }

  #readAgain(window: Window): Promise<boolean> {
    return this.#readInto(window, beforeAll, this.#page(), (...found) => {
      window.refresh(...found);
      return found[0];
    });
  }

  /** `take` answers what is held now of what was not known. True where that is something. */
  async #readInto(
    window: Window,
    after: WindowKey,
    limit: number,
    take: (...found: FoundRows) => readonly ReadyTask[],
  ): Promise<boolean> {
    this.#reading = true;
    try {
      const rows = await this.#read(window, after, limit);
      // Nothing is handed out of a window that was let go of meanwhile: what it would hold must not become known.
      if (this.#queueOf(window).get(window.requirement) !== window) return false;
      const fresh = rows.filter((task) => !this.#isKnown(task));
      const held = take(fresh, rows.at(-1), rows.length < limit);
      for (const task of held) this.#hold(task);
      return held.length > 0;
    } finally {
      this.#reading = false;
      const missed = this.#offeredWhileReading.filter((task) => !this.#isKnown(task));
      this.#gone.clear();
      this.#offeredWhileReading = [];
      this.offer(missed);
    }
  }

  #takeOne(canRun: (requirement: number) => boolean): ReadyTask | undefined {
    const sources = this.#principals.next();
    if (sources === undefined) return undefined;
    for (let turn = 0; turn < sources.size; turn++) {
      const best = firstWindow(sources.next(), canRun);
      const task = best === undefined ? undefined : this.#pop(best);
      if (task !== undefined) return task;
    }
    return undefined;
  }

  /** The next task of a window that still is what it was held as. */
  #pop(window: Window): ReadyTask | undefined {
    for (;;) {
      const task = window.heap.pop();
      if (task === undefined) return undefined;
      this.#held--;
      if (this.#known.get(task.task_id) === task.attempt) return task;
    }
  }

  #hold(task: ReadyTask): void {
    this.#known.set(task.task_id, task.attempt);
    this.#held++;
  }

  #isKnown({ task_id, attempt }: ReadyTask): boolean {
    const known = this.#known.get(task_id);
    const gone = this.#gone.get(task_id);
    return (known !== undefined && known >= attempt) || (gone !== undefined && gone >= attempt);
  }

  #windowMax(): number {
    return Math.max(this.#sizes.windowMin, Math.floor(this.#sizes.held / Math.max(1, this.#windows.length)));
  }

  #page(): number {
    return Math.min(this.#sizes.page, this.#windowMax());
  }

  #window(requirement: number, principal: string, source: string): Window {
    const windows = this.#queueOf({ principal, source });
    let window = windows.get(requirement);
    if (window === undefined) {
      window = new Window(requirement, principal, source);
      windows.set(requirement, window);
      this.#windows.push(window);
    }
    return window;
  }

  #queueOf({ principal, source }: Pick<Window, 'principal' | 'source'>): Map<number, Window> {
    const sources = this.#principals.getOrAdd(principal, () => new Ring<SourceQueue>());
    return sources.getOrAdd(source, () => new Map<number, Window>());
  }
}

/** Of the windows that a node can run, the one whose first task goes before the others'. */
function firstWindow(queue: SourceQueue | undefined, canRun: (requirement: number) => boolean): Window | undefined {
  let best: Window | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const window of queue?.values() ?? []) {
    const head = window.heap.peek();
    if (head !== undefined && head.rank < bestRank && canRun(window.requirement)) {
      best = window;
      bestRank = head.rank;
    }
  }
  return best;
}
