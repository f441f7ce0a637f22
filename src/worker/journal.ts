/** What a node must not forget: orders it has, what it started, receipts it signed, attempts it has seen. */

import { join } from 'node:path';
import type { ManifestPayload } from '../proof/manifest.ts';
import { JournalFile, type JournalEntry, type NewEntry } from './journal-file.ts';
import { SeenAttempts } from './seen-attempts.ts';

const kinds = { boot: 1, manifest: 2, started: 3, receipt: 4, acknowledged: 5, seen: 6, jtis: 7 } as const;
/** The file is written anew, without what is settled, when it has grown to this. */
const rewriteBytes = 64 * 1024 * 1024;

/** An order in hand. */
export interface HeldOrder {
  task_id: string;
  attempt: number;
  jti: string;
  state: 'received' | 'started' | 'finished';
}

/** A receipt that has not been acknowledged. */
export interface SpooledReceipt {
  boot_id: string;
  seq: number;
  jti: string;
  /** The message as it goes to the queue. */
  body: Buffer;
  attempts: { task_id: string; attempt: number }[];
}

interface HeldManifest {
  jti: string;
  exp: number;
  body: Buffer;
  open: number;
}

/** The orders of a manifest that are taken: those that were refused one by one are not among them. */
export interface TakenManifest {
  payload: Pick<ManifestPayload, 'jti' | 'exp'>;
  body: Buffer;
  orders: { task_id: string; attempt: number }[];
}

/**
 * Invariant: an order is in `orders` from when its manifest was taken until a receipt with its result was acknowledged. Memory
 * changes at once, the promise of each method resolves when the change is on disk.
 */
export class Journal {
  readonly #file: JournalFile;
  readonly #orders = new Map<string, HeldOrder>();
  readonly #manifests = new Map<string, HeldManifest>();
  readonly #spool: SpooledReceipt[] = [];
  readonly #seen = new SeenAttempts();
  readonly #jtis = new Map<string, number>();
  #lastBoot: { boot_id: string; seq: number } | undefined;
  #isRewriting = false;

  private constructor(file: JournalFile) {
    this.#file = file;
  }

  /** Opens the journal of a data folder and replays it. */
  static async open(folder: string): Promise<Journal> {
    const { journal, entries } = await JournalFile.open(join(folder, 'journal'));
    const opened = new Journal(journal);
    for (const entry of entries) opened.#replay(entry);
    return opened;
  }

  /** Orders in hand, in the order they came. */
  get orders(): readonly HeldOrder[] {
    return [...this.#orders.values()];
  }

  get orderCount(): number {
    return this.#orders.size;
  }

  /** Receipts that are not acknowledged, oldest first. */
  get spool(): readonly SpooledReceipt[] {
    return this.#spool;
  }

  /** The last boot that signed a receipt, and its last `seq`. */
  get lastBoot(): { boot_id: string; seq: number } | undefined {
    return this.#lastBoot;
  }

  /** The message of a manifest with orders in hand. */
  manifestBody(jti: string): Buffer | undefined {
    return this.#manifests.get(jti)?.body;
  }

  isSeenJti(jti: string): boolean {
    return this.#jtis.has(jti);
  }

  /** The highest attempt of a task that was ever taken; 0 for none. */
  highestAttempt(taskId: string): number {
    return this.#seen.highest(taskId);
  }

  /** Takes manifests; on disk when it resolves. */
  async take(manifests: readonly TakenManifest[]): Promise<void> {
    for (const manifest of manifests) this.#applyManifest(manifest);
    await this.#file.append(manifests.map(encodeManifest));
  }

  /** Notes that work begins. Destructive work waits for the sync; what may be repeated does not need it. */
  async start(taskIds: readonly string[], isSynced: boolean): Promise<void> {
    this.#applyStarted(taskIds);
    const entries = [{ kind: kinds.started, parts: [jsonBytes(taskIds)] }];
    await (isSynced ? this.#file.append(entries) : this.#file.note(entries));
  }

  /** Keeps a signed receipt; on disk when it resolves, which is before it is sent. */
  async finish(receipt: SpooledReceipt): Promise<void> {
    this.#applyReceipt(receipt);
    await this.#file.append([encodeReceipt(receipt)]);
  }

  /** Forgets what has arrived: receipts of a boot up to `seq`. */
  async acknowledge(bootId: string, seq: number): Promise<void> {
    if (!this.#applyAcknowledged(bootId, seq)) return;
    await this.#file.note([{ kind: kinds.acknowledged, parts: [jsonBytes({ boot_id: bootId, seq })] }]);
  }

  /** Lets go of manifests that have expired, and writes the file anew when it has grown. */
  async tidy(nowS: number): Promise<void> {
    for (const [jti, exp] of this.#jtis) if (exp < nowS) this.#jtis.delete(jti);
    if (this.#file.size < rewriteBytes || this.#isRewriting) return;
    this.#isRewriting = true;
    await this.#file.rewrite(() => this.#snapshot()).finally(() => (this.#isRewriting = false));
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #snapshot(): NewEntry[] {
    const started = this.orders.filter(({ state }) => state !== 'received').map(({ task_id }) => task_id);
    const held = [...this.#manifests.values()].map(({ jti, exp, body }) =>
      encodeManifest({ payload: { jti, exp }, body, orders: this.orders.filter((order) => order.jti === jti) }),
    );
    // The boot comes last: receipts up to it are taken for known.
    return [
      ...this.#seen.encode().map((bytes) => ({ kind: kinds.seen, parts: [bytes] })),
      { kind: kinds.jtis, parts: [jsonBytes([...this.#jtis])] },
      ...held,
      { kind: kinds.started, parts: [jsonBytes(started)] },
      ...this.#spool.map(encodeReceipt),
      ...(this.#lastBoot === undefined ? [] : [{ kind: kinds.boot, parts: [jsonBytes(this.#lastBoot)] }]),
    ];
  }

  #replay({ kind, bytes }: JournalEntry): void {
    if (kind === kinds.boot) this.#lastBoot = JSON.parse(bytes.toString()) as { boot_id: string; seq: number };
    else if (kind === kinds.manifest) this.#applyManifest(decodeWithBody<Omit<TakenManifest, 'body'>>(bytes));
    else if (kind === kinds.started) this.#applyStarted(JSON.parse(bytes.toString()) as string[]);
    else if (kind === kinds.receipt) this.#applyReceipt(decodeWithBody<Omit<SpooledReceipt, 'body'>>(bytes));
    else if (kind === kinds.seen) this.#seen.decode(bytes);
    else if (kind === kinds.jtis) {
      for (const [jti, untilS] of JSON.parse(bytes.toString()) as [string, number][]) this.#jtis.set(jti, untilS);
    } else if (kind === kinds.acknowledged) {
      const { boot_id, seq } = JSON.parse(bytes.toString()) as { boot_id: string; seq: number };
      this.#applyAcknowledged(boot_id, seq);
    }
  }

  #applyManifest({ payload, body, orders }: TakenManifest): void {
    const { jti, exp } = payload;
    this.#jtis.set(jti, exp + 120);
    if (orders.length > 0) this.#manifests.set(jti, { jti, exp, body, open: orders.length });
    for (const { task_id, attempt } of orders) {
      this.#orders.set(task_id, { task_id, attempt, jti, state: 'received' });
      this.#seen.add(task_id, attempt, exp);
    }
  }

  #applyStarted(taskIds: readonly string[]): void {
    for (const taskId of taskIds) {
      const order = this.#orders.get(taskId);
      if (order?.state === 'received') order.state = 'started';
    }
  }

  #applyReceipt(receipt: SpooledReceipt): void {
    if (this.#lastBoot?.boot_id === receipt.boot_id && receipt.seq <= this.#lastBoot.seq) return;
    this.#spool.push(receipt);
    this.#lastBoot = { boot_id: receipt.boot_id, seq: receipt.seq };
    for (const { task_id, attempt } of receipt.attempts) {
      const order = this.#orders.get(task_id);
      if (order?.attempt !== attempt || order.state === 'finished') continue;
      order.state = 'finished';
      const manifest = this.#manifests.get(order.jti);
      if (manifest !== undefined && --manifest.open === 0) this.#manifests.delete(order.jti);
    }
  }

  #applyAcknowledged(bootId: string, seq: number): boolean {
    let count = 0;
    while (this.#spool[count]?.boot_id === bootId && (this.#spool[count]?.seq ?? Infinity) <= seq) count++;
    for (const { attempts } of this.#spool.splice(0, count)) {
      for (const { task_id, attempt } of attempts) {
        if (this.#orders.get(task_id)?.attempt === attempt) this.#orders.delete(task_id);
      }
    }
    return count > 0;
  }
}

function encodeManifest({ payload, body, orders }: TakenManifest): NewEntry {
  const { jti, exp } = payload;
  const taken = orders.map(({ task_id, attempt }) => ({ task_id, attempt }));
  return { kind: kinds.manifest, parts: partsWithBody({ payload: { jti, exp }, orders: taken }, body) };
}

function encodeReceipt({ body, ...rest }: SpooledReceipt): NewEntry {
  return { kind: kinds.receipt, parts: partsWithBody(rest, body) };
}

/** uint32 big-endian length of the JSON, the JSON, the message. */
function partsWithBody(value: object, body: Buffer): Buffer[] {
  const json = jsonBytes(value);
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(json.length);
  return [length, json, body];
}

function jsonBytes(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function decodeWithBody<T extends object>(bytes: Buffer): T & { body: Buffer } {
  const end = 4 + bytes.readUInt32BE(0);
  return { ...(JSON.parse(bytes.toString('utf8', 4, end)) as T), body: bytes.subarray(end) };
}
