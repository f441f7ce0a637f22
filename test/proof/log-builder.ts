/** A small audit log in memory, with real keys and signatures, from which tests cut bundles. */

import {
  formatBundleHeader,
  formatKeyArchive,
  formatMemberLine,
  trustMember,
  type ArchivedKey,
} from '../../src/proof/bundle.ts';
import { encodeBase64url } from '../../src/proof/base64url.ts';
import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { formatCheckpoint } from '../../src/proof/checkpoint.ts';
import { sha256, sha256Hex } from '../../src/proof/hash.ts';
import { taskSha256, type Grant, type ManifestPayload, type Order } from '../../src/proof/manifest.ts';
import { formatNote, formatVerifierKey, noteKeyId, type NoteSignature } from '../../src/proof/note.ts';
import { formatPolicy } from '../../src/proof/policy.ts';
import type { ReceiptPayload, Result, ResultStatus } from '../../src/proof/receipt.ts';
import { completeRecord, firstPrev, leafHash, recordParts, type RecordBody } from '../../src/proof/record.ts';
import { inclusionProof, type HashReader } from '../../src/proof/tree-proof.ts';
import { CompactRange, nodeHash } from '../../src/proof/tree.ts';
import { ed25519Key, rawPublicKey, type TestKey } from './keys.ts';

export type Members = Map<string, Buffer>;
export type Draft = Omit<RecordBody, 'v' | 'log' | 'id'> & { id?: string };

export interface TestNode {
  id: string;
  key: TestKey;
  bootId: string;
  seq: number;
  previous?: { boot_id: string; seq: number };
}

export interface TestManifest {
  payload: ManifestPayload;
  jws: string;
  sha256: string;
}

export interface TestReceipt {
  payload: ReceiptPayload;
  jws: string;
  sha256: string;
}

export const origin = 'audit.test.example/writ/7f3a';
export const toolDigest = `sha256:${'5'.repeat(64)}`;

/** A task as it was submitted. */
export interface TestTask {
  id: string;
  grant: Grant;
  payloadSha256: string;
  attempt: number;
}

/** Owns a log that grows by one record for each call; times and ids are the same in every run. */
export class LogBuilder {
  readonly lines: string[] = [];
  readonly leaves: Buffer[] = [];
  readonly logKeys: TestKey[];
  readonly checkpoints: { size: number; note: string }[] = [];
  readonly evidence = new Map<string, { member: string; jws: string; seq: number; isKept: boolean }>();
  readonly keys: { seq: number; key: ArchivedKey; isLog: boolean; retiredSeq?: number; until?: string }[] = [];
  nowMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  #prev = firstPrev;
  #ids = 0;

  constructor(logKeys: TestKey[] = [ed25519Key(1)]) {
    this.logKeys = logKeys;
  }

  get size(): number {
    return this.lines.length;
  }

  get nowS(): number {
    return Math.floor(this.nowMs / 1000);
  }

  get ts(): string {
    return new Date(this.nowMs).toISOString();
  }

  uuid(): string {
    const hex = sha256Hex(`id ${(this.#ids++).toString()}`);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }

  /** Appends a record as the sequencer does; answers its seq. */
  append(draft: Draft): number {
    const parts = recordParts({ ...draft, v: 1, log: origin, id: draft.id ?? this.uuid() });
    return this.appendLine(completeRecord(parts, this.#prev, this.size, this.ts));
  }

  /** Appends a line as it is, whatever it says; the chain goes on from its hash. */
  appendLine(line: string): number {
    const leaf = leafHash(line);
    this.lines.push(line);
    this.leaves.push(leaf);
    this.#prev = leaf.toString('base64');
    this.nowMs += 37;
    return this.size - 1;
  }

  get prev(): string {
    return this.#prev;
  }

  trustKey(key: TestKey, use: 'manifest' | 'node' | 'log', nodeId?: string): void {
    const vkey = use === 'log' ? formatVerifierKey(origin, rawPublicKey(key)) : undefined;
    const data = { kid: key.kid, jwk: key.jwk, use, node_id: nodeId, from: this.ts, vkey };
    const archived = { ...key.jwk, kid: key.kid, writ_use: use as 'manifest' | 'node', writ_from: this.ts };
    const seq = this.append({ type: 'key.trust', outcome: 'success', data: data });
    const archivedKey = nodeId === undefined ? archived : { ...archived, writ_node: nodeId };
    this.keys.push({ seq, key: archivedKey, isLog: use === 'log' });
  }

  retireKey(key: TestKey, until = this.ts): void {
    const seq = this.append({ type: 'key.retire', outcome: 'success', data: { kid: key.kid, until } });
    const known = this.keys.find((entry) => entry.key.kid === key.kid);
    if (known !== undefined) Object.assign(known, { retiredSeq: seq, until });
  }

  addNode(number: number): TestNode {
    const node = { id: this.uuid(), key: ed25519Key(100 + number), bootId: this.uuid(), seq: 0 };
    this.trustKey(node.key, 'node', node.id);
    return node;
  }

  /** The node starts again: its next receipt is the first of a new boot. */
  reboot(node: TestNode): void {
    if (node.seq > 0) node.previous = { boot_id: node.bootId, seq: node.seq - 1 };
    node.bootId = this.uuid();
    node.seq = 0;
  }

  submit(count: number, grant: Partial<Grant> = {}): TestTask[] {
    const tasks = Array.from({ length: count }, () => {
      const id = this.uuid();
      return { id, grant: { ...someGrant, ...grant }, payloadSha256: sha256Hex(`payload of ${id}`), attempt: 0 };
    });
    const hashes = tasks.map((task) => Buffer.from(taskSha256(task.grant, task.payloadSha256), 'hex'));
    this.append({
      type: 'task.submit',
      outcome: 'allow',
      actor: {
        id: 'ci@example.org',
        kind: 'service',
        auth: { method: 'api_key', credential_id: this.uuid() },
        ip: '::1',
      },
      authz: { permission: 'tasks:submit', roles: ['operator'] },
      target: { kind: 'task', ids: tasks.map(({ id }) => id) },
      data: { tasks_sha256: sha256(Buffer.concat(hashes)).toString('hex') },
      request_id: this.uuid(),
    });
    return tasks;
  }

  manifest(
    key: TestKey,
    node: TestNode,
    tasks: readonly TestTask[],
    change: Partial<ManifestPayload> = {},
  ): TestManifest {
    const grants: Grant[] = [];
    const orders: Order[] = tasks.map((task) => {
      let grant = grants.findIndex((known) => canonicalize(known as never) === canonicalize(task.grant as never));
      if (grant < 0) grant = grants.push(task.grant) - 1;
      return { task_id: task.id, attempt: ++task.attempt, grant, payload_sha256: task.payloadSha256 };
    });
    const iat = this.nowS;
    const times = { iat, nbf: iat, exp: iat + 60 };
    const payload = { iss: origin, aud: node.id, jti: this.uuid(), ...times, grants, orders, ...change };
    return { payload, ...signJws(key, 'writ-manifest+jws', payload) };
  }

  issue(manifest: TestManifest): void {
    this.#record('manifest.issue', 'success', 'manifests.jsonl', manifest, {
      manifest_sha256: manifest.sha256,
      jti: manifest.payload.jti,
    });
  }

  voidManifest(manifest: TestManifest, isKept = true): void {
    const data = { manifest_sha256: manifest.sha256, jti: manifest.payload.jti };
    this.#record('manifest.void', 'success', 'manifests.jsonl', manifest, data, isKept);
  }

  receipt(
    node: TestNode,
    answers: readonly [TestTask, ResultStatus][],
    change: Partial<ReceiptPayload> = {},
  ): TestReceipt {
    const results = answers.map(([task, status]): Result => {
      const ran = status !== 'refused' && status !== 'not_started';
      return {
        task_id: task.id,
        attempt: task.attempt,
        status,
        started_at: ran ? this.ts : null,
        ended_at: ran ? this.ts : null,
        output_sha256: ran ? sha256Hex(task.id) : null,
        output_bytes: ran ? 36 : null,
        error: status === 'succeeded' ? null : { code: 'exit_code', message: 'the tool failed' },
        metadata_sha256: null,
      };
    });
    const seq = node.seq++;
    const previous = seq === 0 && node.previous !== undefined ? { previous_boot: node.previous } : {};
    const payload: ReceiptPayload = {
      ...{ iss: node.id, jti: this.uuid(), iat: this.nowS, boot_id: node.bootId, seq, results },
      ...previous,
      ...change,
    };
    return { payload, ...signJws(node.key, 'writ-receipt+jws', payload) };
  }

  /** Records a receipt: the results that counted, or those that came late. */
  answer(
    receipt: TestReceipt,
    kind: 'accept' | 'late' = 'accept',
    results: readonly Result[] = receipt.payload.results,
  ): void {
    const listed = results.map(({ task_id, attempt, status }) => [task_id, attempt, status]);
    this.#record(`receipt.${kind}`, kind === 'accept' ? 'success' : 'deny', 'receipts.jsonl', receipt, {
      receipt_sha256: receipt.sha256,
      results: listed,
    });
  }

  lose(attempts: readonly [string, number][]): void {
    this.append({ type: 'attempt.lost', outcome: 'failure', reason: 'node_lost', data: { attempts } });
  }

  /** Signs a checkpoint over all records so far, with the log's keys of these indices. */
  checkpoint(signers: readonly number[] = [0], extra: readonly NoteSignature[] = []): string {
    const note = this.noteOf(this.size, signers, extra);
    this.checkpoints.push({ size: this.size, note });
    return note;
  }

  noteOf(size: number, signers: readonly number[] = [0], extra: readonly NoteSignature[] = []): string {
    const text = formatCheckpoint({ origin, size, root: this.range(size).root() });
    const signatures = signers.map((index) => {
      const key = this.logKeys[index] ?? ed25519Key(index);
      return {
        name: origin,
        keyId: noteKeyId(origin, 1, rawPublicKey(key)),
        signature: key.signOne(Buffer.from(text)),
      };
    });
    return formatNote(text, [...signatures, ...extra]);
  }

  range(size: number): CompactRange {
    const range = new CompactRange();
    for (const leaf of this.leaves.slice(0, size)) range.append(leaf);
    return range;
  }

  get policy(): string {
    return formatPolicy(formatVerifierKey(origin, rawPublicKey(this.logKeys[0] ?? ed25519Key(1))));
  }

  /** The bundle of the records from `from` to the last checkpoint, as an export writes it. */
  async bundle(from = 0, pruned: ReadonlySet<string> = new Set()): Promise<Members> {
    const last = this.checkpoints.at(-1);
    if (last === undefined) throw new Error('a bundle needs a checkpoint');
    const { size } = last;
    const prefix = this.range(from).hashes.map((hash) => hash.toString('base64'));
    const created = '2026-01-02T03:04:06.000Z';
    const between = this.checkpoints.filter((checkpoint) => checkpoint.size > from && checkpoint.size < size);
    const members: Members = new Map();
    const put = (name: string, text: string): void => void members.set(name, Buffer.from(text));
    put('bundle.json', formatBundleHeader({ v: 1, log: origin, from, size, created, prefix }));
    put('log.vkey', this.logKeys.map((key) => `${formatVerifierKey(origin, rawPublicKey(key))}\n`).join(''));
    put('checkpoint', last.note);
    put('checkpoints.jsonl', between.map(formatMemberLine).join(''));
    put('keys.json', formatKeyArchive(this.#archive(size)));
    put(
      'records.jsonl',
      this.lines
        .slice(from, size)
        .map((line) => `${line}\n`)
        .join(''),
    );
    for (const member of ['manifests.jsonl', 'receipts.jsonl'])
      put(member, this.#evidenceLines(member, from, size, pruned));
    if (from > 0) put(trustMember, await this.#trustLines(from, size));
    return members;
  }

  #archive(size: number): ArchivedKey[] {
    return this.keys
      .filter(({ seq, isLog }) => seq < size && !isLog)
      .map(({ key, retiredSeq, until }) =>
        retiredSeq !== undefined && retiredSeq < size && until !== undefined ? { ...key, writ_until: until } : key,
      );
  }

  #evidenceLines(member: string, from: number, size: number, pruned: ReadonlySet<string>): string {
    const named = new Map<string, string>();
    for (const line of this.lines.slice(from, size)) {
      const { data } = JSON.parse(line) as { data?: { manifest_sha256?: string; receipt_sha256?: string } };
      const hash = data?.manifest_sha256 ?? data?.receipt_sha256;
      const evidence = hash === undefined ? undefined : this.evidence.get(hash);
      if (hash === undefined || evidence?.member !== member || !evidence.isKept || pruned.has(hash)) continue;
      named.set(hash, formatMemberLine({ sha256: hash, jws: evidence.jws }));
    }
    return [...named.values()].join('');
  }

  async #trustLines(from: number, size: number): Promise<string> {
    let text = '';
    for (let seq = 0; seq < from; seq++) {
      const record = this.lines[seq] ?? '';
      if (!/"type":"key\.(?:trust|retire)"/.test(record)) continue;
      const proof = await inclusionProof(subtreeReader(this.leaves), seq, size);
      text += formatMemberLine({ seq, record, proof: proof.map((hash) => hash.toString('base64')) });
    }
    return text;
  }

  #record(
    type: string,
    outcome: 'success' | 'deny',
    member: string,
    { sha256: hash, jws }: { sha256: string; jws: string },
    data: Record<string, CanonicalValue>,
    isKept = true,
  ): void {
    const seq = this.append({ type, outcome, data });
    if (!this.evidence.has(hash)) this.evidence.set(hash, { member, jws, seq, isKept });
  }
}

export const someGrant: Grant = {
  tool: 'file',
  tool_digest: toolDigest,
  action: 'hash',
  effects: 'none',
  timeout_s: 30,
  scope: null,
  requested_by: 'ci@example.org',
  required_role: 'operator',
  approvals: [],
};

/** Signs a payload as it is, without checking it. */
export function signJws(key: TestKey, type: string, payload: object): { jws: string; sha256: string } {
  const header = encodeBase64url(canonicalize({ alg: key.algorithm, kid: key.kid, typ: type }));
  const input = `${header}.${encodeBase64url(canonicalize(payload as CanonicalValue))}`;
  const jws = `${input}.${encodeBase64url(key.signOne(Buffer.from(input)))}`;
  return { jws, sha256: sha256Hex(jws) };
}

/** Hashes of complete subtrees, from the leaves themselves. */
export function subtreeReader(leaves: readonly Buffer[]): HashReader {
  const hashOf = (level: number, index: number): Buffer =>
    level === 0
      ? (leaves[index] ?? Buffer.alloc(0))
      : nodeHash(hashOf(level - 1, 2 * index), hashOf(level - 1, 2 * index + 1));
  return (subtrees) => Promise.resolve(subtrees.map(({ level, index }) => hashOf(level, index)));
}
