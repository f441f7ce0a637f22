/** The keys that a log's own records make trusted, and for which times (formats.md rules 11, 12 and 19). */

import type { ArchivedKey } from './bundle.ts';
import { canonicalize, type CanonicalValue } from './canonical-json.ts';
import { noteSignatureType, parseVerifierKey, type VerifierKey } from './note.ts';
import { importPublicKey, type PublicKey } from './public-key.ts';
import type { KeyRetireData, KeyTrustData, KeyUse } from './record-data.ts';
import type { AuditRecord } from './record.ts';
import { holdRule } from './rule.ts';

const skewMs = 30_000;

interface TrustedKey {
  key: PublicKey;
  data: KeyTrustData;
  fromMs: number;
  until?: string;
  /** Newest `iat` of what it signed, milliseconds. */
  newestMs: number;
}

/** Owns the keys trusted so far, as records say in the order of the log. */
export class TrustedKeys {
  readonly #keys = new Map<string, TrustedKey>();
  readonly #logKeys: { seq: number; key: VerifierKey }[] = [];

  /** Whether keys may be trusted by records that are not known here. */
  mayMissKeys = false;

  /** By node: the record that first trusted a key of it. */
  readonly #firstTrust = new Map<string, number>();

  /** Takes a `key.trust` or `key.retire` record. */
  apply(record: AuditRecord): void {
    if (record.type === 'key.trust') this.#trust(record, record.data as unknown as KeyTrustData);
    else if (record.type === 'key.retire') this.#retire(record.data as unknown as KeyRetireData);
  }

  /** The key of a kid, where it is trusted for this use; with the node whose key it is. */
  find(kid: string, use: KeyUse): { key: PublicKey; nodeId: string } | undefined {
    const trusted = this.#keys.get(kid);
    if (trusted?.data.use !== use) return undefined;
    return { key: trusted.key, nodeId: trusted.data.node_id ?? '' };
  }

  /** Whether a key was trusted at `iatS`, taken as the exact second (rule 12). */
  checkTime(kid: string, iatS: number): void {
    const trusted = this.#keys.get(kid);
    if (trusted === undefined) return;
    const iatMs = iatS * 1000;
    holdRule(iatMs >= trusted.fromMs - skewMs, 12, 'signed before its key was trusted');
    holdRule(isBeforeEnd(iatMs, trusted.until), 12, 'signed after its key was retired');
    trusted.newestMs = Math.max(trusted.newestMs, iatMs);
  }

  /** Whether the log knew no key of a node before record `seq`. */
  isNewSince(nodeId: string, seq: number): boolean {
    return (this.#firstTrust.get(nodeId) ?? -1) >= seq;
  }

  /** Keys of the log itself that records before `size` name. */
  logKeys(size: number): VerifierKey[] {
    return this.#logKeys.filter(({ seq }) => seq < size).map(({ key }) => key);
  }

  /** Manifest and node keys as `keys.json` lists them, in the order of the log. */
  archive(): ArchivedKey[] {
    const archived: ArchivedKey[] = [];
    for (const { data, until } of this.#keys.values()) {
      if (data.use === 'log') continue;
      archived.push({
        ...data.jwk,
        kid: data.kid,
        writ_use: data.use,
        writ_from: data.from,
        ...(data.node_id === undefined ? {} : { writ_node: data.node_id }),
        ...(until === undefined ? {} : { writ_until: until }),
      });
    }
    return archived;
  }

  /** Compares `keys.json` with the records (rule 26). */
  checkArchive(listed: readonly ArchivedKey[]): void {
    const expected = new Map(this.archive().map((key) => [key.kid, canonicalize(key as CanonicalValue)]));
    for (const key of listed) {
      const own = expected.get(key.kid);
      if (own === undefined && this.mayMissKeys) continue;
      holdRule(own !== undefined, 26, 'keys.json holds a key that no record trusts, or one twice');
      holdRule(own === canonicalize(key), 26, 'keys.json says something else of a key than the records');
      expected.delete(key.kid);
    }
    holdRule(expected.size === 0, 26, 'keys.json lacks a key that a record trusts');
  }

  #trust(record: AuditRecord, data: KeyTrustData): void {
    holdRule(!this.#keys.has(data.kid), 11, 'a key is trusted twice');
    const key = importPublicKey(data.jwk);
    this.#keys.set(data.kid, { key, data, fromMs: Date.parse(data.from), newestMs: -Infinity });
    if (data.node_id !== undefined && !this.#firstTrust.has(data.node_id))
      this.#firstTrust.set(data.node_id, record.seq);
    if (data.use !== 'log') return;
    const verifierKey = parseVerifierKey(data.vkey ?? '');
    holdRule(
      verifierKey.publicKey.kid === data.kid &&
        verifierKey.name === record.log &&
        verifierKey.type === noteSignatureType,
      11,
      'vkey is not that of the key and the log',
    );
    this.#logKeys.push({ seq: record.seq, key: verifierKey });
  }

  #retire(data: KeyRetireData): void {
    const trusted = this.#keys.get(data.kid);
    if (trusted === undefined && this.mayMissKeys) return;
    holdRule(trusted !== undefined, 11, 'a key is retired that was never trusted');
    holdRule(trusted.until === undefined, 11, 'a key is retired twice');
    holdRule(isBeforeEnd(trusted.newestMs, data.until), 12, 'a key is retired from before what it signed');
    trusted.until = data.until;
  }
}

function isBeforeEnd(iatMs: number, until: string | undefined): boolean {
  return until === undefined || iatMs < Date.parse(until) + skewMs;
}
