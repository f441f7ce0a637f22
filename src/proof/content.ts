/** What the records of a log say together: ids, keys, manifests, receipts, and what became of each order. */

import { Attempts } from './attempts.ts';
import { Boots } from './boots.ts';
import { Column } from './column.ts';
import type { Evidence, TakenEvidence } from './evidence.ts';
import { HexTable } from './hex-table.ts';
import { verifyCompactJws } from './jws.ts';
import { checkManifestPayload, type ManifestPayload } from './manifest.ts';
import { ProofError } from './proof-error.ts';
import { verifyReceipt, type ReceiptPayload } from './receipt.ts';
import type { LostData, ManifestData, PruneData, ReceiptData } from './record-data.ts';
import type { AuditRecord } from './record.ts';
import { at, locate } from './report.ts';
import { holdRule } from './rule.ts';
import { Submissions } from './submissions.ts';
import type { TrustedKeys } from './trust.ts';

const clockSkewMs = 30_000;
/** A receipt's time may be ahead of its record's by so much (rule 12). */
const receiptAheadMs = 300_000;

/** Results of a receipt that no record listed yet. */
interface Untold {
  seq: number;
  results: Map<string, string>;
}

/** Owns everything that one record can contradict another about. */
export class Content {
  readonly attempts = new Attempts();
  readonly boots = new Boots();
  readonly submissions = new Submissions();
  readonly manifests: Evidence;
  readonly receipts: Evidence;
  readonly #trusted: TrustedKeys;
  readonly #from: number;
  readonly #ids = new HexTable(4);
  readonly #nodes = new HexTable(4);
  readonly #manifestJtis = new HexTable(4);
  readonly #receiptJtis = new HexTable(4);
  /** By number of the `jti`: number among the attempts, and number of the hash; −2 where it is void. */
  readonly #manifestOf = new Column();
  readonly #hashOf = new Column();
  /** By number of a receipt's hash: its node; −1 where the receipt is not there. */
  readonly #receiptNode = new Column();
  readonly #untold = new Map<number, Untold>();
  #lastSeq = 0;
  #newestTs = '';
  /** Farthest step back of `ts`, milliseconds. */
  stepBackMs = 0;
  /** Evidence whose signature could not be checked: its key is not among those known. */
  unverified = 0;
  /** Hashes that were pruned but named before the bundle begins. */
  prunedBefore = 0;

  constructor(manifests: Evidence, receipts: Evidence, trusted: TrustedKeys, from: number) {
    this.manifests = manifests;
    this.receipts = receipts;
    this.#trusted = trusted;
    this.#from = from;
    this.attempts.mayMissOrders = from > 0;
  }

  /** Takes the next record of the chain. Fails with a Contradiction there. */
  async apply(record: AuditRecord): Promise<void> {
    if (record.type.startsWith('manifest.') && !this.manifests.isReady) await this.manifests.read();
    if (record.type.startsWith('receipt.') && !this.receipts.isReady) await this.receipts.read();
    try {
      this.#applyReady(record);
    } catch (error) {
      const place = { member: 'records.jsonl', line: record.seq - this.#from + 1, seq: record.seq };
      throw locate(place, error);
    }
  }

  /** Refuses receipts whose results no record told; answers how many the end of the log may have cut off. */
  finish(): number {
    let cut = 0;
    for (const { seq, results } of this.#untold.values()) {
      if (this.#from > 0) continue;
      if (seq === this.#lastSeq) cut += results.size;
      else {
        at({ member: 'records.jsonl', line: seq + 1, seq }, () => {
          holdRule(false, 14, `${results.size.toString()} results of its receipt are told by no record`);
        });
      }
    }
    return cut;
  }

  #applyReady(record: AuditRecord): void {
    this.#lastSeq = record.seq;
    this.#checkId(record);
    this.#checkTime(record);
    switch (record.type) {
      case 'task.submit':
        this.#submit(record);
        return;
      case 'manifest.issue':
        this.#issue(record, record.data as unknown as ManifestData);
        return;
      case 'manifest.void':
        this.#void(record, record.data as unknown as ManifestData);
        return;
      case 'receipt.accept':
      case 'receipt.late':
        this.#answer(record, record.data as unknown as ReceiptData);
        return;
      case 'attempt.lost':
        for (const [task, attempt] of (record.data as unknown as LostData).attempts) this.attempts.lose(task, attempt);
        return;
      case 'evidence.prune':
        this.#prune(record.data as unknown as PruneData);
        return;
      case 'key.trust':
      case 'key.retire':
        this.#trusted.apply(record);
    }
  }

  #checkId(record: AuditRecord): void {
    const before = this.#ids.size;
    holdRule(this.#ids.add(record.id) === before, 7, 'an id that an earlier record has');
  }

  #checkTime({ ts }: AuditRecord): void {
    // Times of this form are in the order of their texts.
    if (ts >= this.#newestTs) this.#newestTs = ts;
    else this.stepBackMs = Math.max(this.stepBackMs, Date.parse(this.#newestTs) - Date.parse(ts));
  }

  #submit({ target, data }: AuditRecord): void {
    const sha256 = data?.['tasks_sha256'];
    if (target !== undefined && 'ids' in target && typeof sha256 === 'string')
      this.submissions.submit(target.ids, sha256);
  }

  #issue(record: AuditRecord, data: ManifestData): void {
    const known = this.#manifestJtis.size;
    const number = this.#manifestJtis.add(data.jti);
    holdRule(number === known, 21, 'a manifest of this jti was recorded before');
    const taken = this.manifests.take(data.manifest_sha256);
    holdRule(taken.isFirst, 21, 'a manifest that was recorded before');
    this.#hashOf.set(number, taken.number);
    const payload = this.#openManifest(record, data, taken);
    if (payload === undefined) this.attempts.mayMissOrders = true;
    else this.#manifestOf.set(number, this.#give(payload));
  }

  #void(record: AuditRecord, data: ManifestData): void {
    const known = this.#manifestJtis.size;
    const number = this.#manifestJtis.add(data.jti);
    const taken = this.manifests.take(data.manifest_sha256, true);
    if (number < known) {
      holdRule(taken.number === this.#hashOf.get(number), 16, 'not the hash that this jti was issued with');
      holdRule(this.#manifestOf.get(number) !== -2, 16, 'a manifest is void twice');
      if (this.#manifestOf.get(number) >= 0) this.attempts.void(this.#manifestOf.get(number));
    } else {
      holdRule(taken.isFirst, 16, 'not the jti that this manifest was issued with');
      this.#hashOf.set(number, taken.number);
      const payload = this.#openManifest(record, data, taken);
      if (payload !== undefined) this.attempts.void(this.#give(payload));
    }
    this.#manifestOf.set(number, -2);
  }

  #give(payload: ManifestPayload): number {
    this.submissions.order(payload);
    return this.attempts.issue(this.#nodes.add(payload.aud), payload.orders);
  }

  /** Verifies a manifest where its bytes are there and its key can be known. */
  #openManifest(record: AuditRecord, data: ManifestData, { jws, place }: TakenEvidence): ManifestPayload | undefined {
    if (jws === undefined || place === undefined) return undefined;
    return at({ ...place, seq: record.seq }, () => {
      const payload = this.#unlessUnknown(() => {
        const verified = verifyCompactJws(jws, 'writ-manifest+jws', (kid) => this.#trusted.find(kid, 'manifest')?.key);
        const checked = checkManifestPayload(verified.payload);
        this.#trusted.checkTime(verified.key.kid, checked.iat);
        return checked;
      });
      if (payload === undefined) return undefined;
      holdRule(payload.iss === record.log, 22, 'iss is not the origin of the log');
      holdRule(payload.jti === data.jti, 21, 'jti is not that of the record');
      if (record.type === 'manifest.issue') {
        const tsMs = Date.parse(record.ts);
        const isInTime = tsMs >= payload.iat * 1000 - clockSkewMs && tsMs <= payload.exp * 1000 + clockSkewMs;
        holdRule(isInTime, 12, 'recorded at another time than it was valid');
      }
      return payload;
    });
  }

  #answer(record: AuditRecord, data: ReceiptData): void {
    const taken = this.receipts.take(data.receipt_sha256);
    if (taken.isFirst) this.#openReceipt(record, taken);
    const node = this.#receiptNode.get(taken.number);
    const untold = this.#untold.get(taken.number);
    if (node >= 0) holdRule(untold !== undefined, 14, 'all results of this receipt were listed before');
    for (const [task, attempt, status] of data.results) {
      if (untold !== undefined) {
        const key = `${task} ${attempt.toString()}`;
        holdRule(untold.results.get(key) === status, 14, 'a result that the receipt does not hold, or listed before');
        untold.results.delete(key);
      }
      const by = node >= 0 ? node : undefined;
      if (record.type === 'receipt.accept') this.attempts.accept(by, task, attempt);
      else this.attempts.late(by, task, attempt);
    }
    if (untold?.results.size === 0) this.#untold.delete(taken.number);
  }

  #openReceipt(record: AuditRecord, { jws, place, number }: TakenEvidence): void {
    if (jws === undefined || place === undefined) return;
    at({ ...place, seq: record.seq }, () => {
      const payload = this.#unlessUnknown(() => this.#verifyReceipt(jws));
      if (payload === undefined) return;
      holdRule(payload.iat * 1000 <= Date.parse(record.ts) + receiptAheadMs, 12, 'signed after it was recorded');
      const known = this.#receiptJtis.size;
      holdRule(this.#receiptJtis.add(payload.jti) === known, 21, 'a receipt of this jti was recorded before');
      this.boots.add(payload);
      this.#receiptNode.set(number, this.#nodes.add(payload.iss));
      const results = new Map<string, string>();
      for (const { task_id, attempt, status } of payload.results)
        results.set(`${task_id} ${attempt.toString()}`, status);
      this.#untold.set(number, { seq: record.seq, results });
    });
  }

  #verifyReceipt(jws: string): ReceiptPayload {
    let signer = '';
    const payload = verifyReceipt(jws, (kid) => {
      signer = kid;
      return this.#trusted.find(kid, 'node');
    });
    this.#trusted.checkTime(signer, payload.iat);
    return payload;
  }

  /** Undefined where the key is unknown and may be one that the bundle does not show. */
  #unlessUnknown<Payload>(open: () => Payload): Payload | undefined {
    try {
      return open();
    } catch (error) {
      const isUnknown = error instanceof ProofError && error.code === 'unknown_key';
      if (!isUnknown || !this.#trusted.mayMissKeys) throw error;
      this.unverified++;
      return undefined;
    }
  }

  #prune({ sha256 }: PruneData): void {
    for (const hash of sha256) {
      if (this.manifests.prune(hash) || this.receipts.prune(hash)) continue;
      holdRule(this.#from > 0, 18, 'a hash is pruned that no record named before');
      this.prunedBefore++;
    }
  }
}
