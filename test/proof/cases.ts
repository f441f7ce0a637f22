/** Logs and bundles that break one rule each, and what a verifier must say of them. */

import { formatMemberLine, parseEvidenceLine, trustMember } from '../../src/proof/bundle.ts';
import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { cosignatureType, cosignedMessage, formatVerifierKey, noteKeyId } from '../../src/proof/note.ts';
import { firstPrev } from '../../src/proof/record.ts';
import { buildGoodLog } from './build-bundle.ts';
import { ed25519Key, p256Key, rawPublicKey, type TestKey } from './keys.ts';
import { LogBuilder, origin, signJws, type Members, type TestNode } from './log-builder.ts';

export interface Case {
  name: string;
  exitCode: 0 | 1 | 2;
  /** Number of the rule that is broken, or what is absent. */
  rule?: number;
  absence?: string;
  /** The record or member that is to be named. */
  seq?: 'last';
  member?: string;
  build: () => Promise<{ members: Members; policy: string }>;
}

interface Setting {
  log: LogBuilder;
  key: TestKey;
  node: TestNode;
  other: TestNode;
}

/** A log with a manifest key and two nodes; `play` writes what is wrong, and the last record of it is named. */
function wrongLog(name: string, rule: number, play: (setting: Setting) => void): Case {
  return { name, exitCode: 1, rule, seq: 'last', build: () => played(play) };
}

function absentLog(name: string, exitCode: 0 | 2, absence: string | undefined, play: (setting: Setting) => void): Case {
  return { name, exitCode, ...(absence === undefined ? {} : { absence }), build: () => played(play) };
}

async function played(play: (setting: Setting) => void): Promise<{ members: Members; policy: string }> {
  const log = new LogBuilder();
  const key = p256Key(7);
  log.trustKey(key, 'manifest');
  const setting = { log, key, node: log.addNode(0), other: log.addNode(1) };
  play(setting);
  log.checkpoint();
  return { members: await log.bundle(), policy: log.policy };
}

/** A good bundle with one member changed. */
function wrongMember(name: string, rule: number, member: string, edit: (text: string) => string, from = 0): Case {
  return {
    name,
    exitCode: 1,
    rule,
    member,
    build: async () => {
      const { log } = buildGoodLog();
      const members = await log.bundle(from);
      members.set(member, Buffer.from(edit((members.get(member) ?? '').toString())));
      return { members, policy: log.policy };
    },
  };
}

/** Appends a record without the checks that the ledger makes. */
function appendRaw(log: LogBuilder, members: Record<string, CanonicalValue>): void {
  const base = {
    v: 1,
    log: origin,
    seq: log.size,
    prev: log.prev,
    ts: log.ts,
    id: log.uuid(),
    type: 'test.raw',
    outcome: 'success',
  };
  log.appendLine(canonicalize({ ...base, ...members }));
}

function editLine(
  text: string,
  number: number,
  edit: (line: Record<string, CanonicalValue>) => CanonicalValue,
): string {
  const lines = text.split('\n');
  lines[number] = canonicalize(edit(JSON.parse(lines[number] ?? '') as Record<string, CanonicalValue>));
  return lines.join('\n');
}

const records: Case[] = [
  wrongLog('a record with a member that is not listed', 5, ({ log }) => {
    appendRaw(log, { extra: 1 });
  }),
  wrongLog('a record of version 2', 5, ({ log }) => {
    appendRaw(log, { v: 2 });
  }),
  wrongLog('a record of another log', 5, ({ log }) => {
    appendRaw(log, { log: 'audit.test.example/other' });
  }),
  wrongLog('a null inside a record', 3, ({ log }) => {
    appendRaw(log, { data: { inner: [null] } });
  }),
  wrongLog('a list of 501', 9, ({ log }) => {
    appendRaw(log, { data: { list: new Array<number>(501).fill(1) } });
  }),
  wrongLog('a type without a dot', 7, ({ log }) => {
    appendRaw(log, { type: 'submit' });
  }),
  wrongLog('a time without milliseconds', 7, ({ log }) => {
    appendRaw(log, { ts: '2026-01-02T03:04:05Z' });
  }),
  wrongLog('an id that was there before', 7, ({ log }) => {
    const { id } = JSON.parse(log.lines[0] ?? '') as { id: string };
    log.append({ type: 'test.twice', outcome: 'success', id });
  }),
  wrongLog('both data and its hash', 8, ({ log }) => {
    appendRaw(log, { data: {}, data_sha256: sha256Hex('') });
  }),
  wrongLog('a lost attempt without data', 8, ({ log }) => {
    appendRaw(log, { type: 'attempt.lost' });
  }),
  wrongLog('a submission without the hash of its tasks', 10, ({ log }) => {
    appendRaw(log, { type: 'task.submit', outcome: 'allow', target: { kind: 'task', ids: [log.uuid()] }, data: {} });
  }),
];

const keys: Case[] = [
  wrongLog('a key that is trusted twice', 11, ({ log, key }) => {
    log.trustKey(key, 'manifest');
  }),
  wrongLog('a kid that is not the thumbprint', 11, ({ log, key, other }) => {
    const data = { kid: other.key.kid, jwk: key.jwk, use: 'manifest', from: log.ts };
    appendRaw(log, { type: 'key.trust', data });
  }),
  wrongLog('a key that is retired but was never trusted', 11, ({ log }) => {
    log.append({ type: 'key.retire', outcome: 'success', data: { kid: ed25519Key(99).kid, until: log.ts } });
  }),
  wrongLog('a manifest by a key that no record trusts', 12, ({ log, node }) => {
    log.issue(log.manifest(p256Key(66), node, log.submit(1)));
  }),
  wrongLog('a manifest by a key of a node', 12, ({ log, node }) => {
    log.issue(log.manifest(node.key, node, log.submit(1)));
  }),
  wrongLog('a manifest from before its key was trusted', 12, ({ log, key, node }) => {
    const iat = log.nowS - 40;
    log.issue(log.manifest(key, node, log.submit(1), { iat, nbf: iat, exp: iat + 60 }));
  }),
  wrongLog('a manifest from after its key was retired', 12, ({ log, key, node }) => {
    log.retireKey(key, new Date(log.nowMs - 40_000).toISOString());
    log.issue(log.manifest(key, node, log.submit(1)));
  }),
  wrongLog('a key that is retired from before what it signed', 12, ({ log, key, node }) => {
    log.nowMs += 100_000;
    log.issue(log.manifest(key, node, log.submit(1)));
    log.retireKey(key, new Date(log.nowMs - 60_000).toISOString());
  }),
  wrongLog('a manifest that is recorded long after it expired', 12, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.nowMs += 91_000;
    log.issue(manifest);
  }),
  wrongLog('a receipt from the future', 12, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
        { iat: log.nowS + 302 },
      ),
    );
  }),
];

const orders: Case[] = [
  wrongLog('a manifest whose outcome is not success', 13, ({ log, key, node }) => {
    const { sha256, payload } = log.manifest(key, node, log.submit(1));
    appendRaw(log, { type: 'manifest.issue', outcome: 'deny', data: { manifest_sha256: sha256, jti: payload.jti } });
  }),
  wrongLog('a manifest that is recorded twice', 21, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.issue(manifest);
    log.issue(manifest);
  }),
  wrongLog('a manifest of another log', 22, ({ log, key, node }) => {
    log.issue(log.manifest(key, node, log.submit(1), { iss: 'audit.test.example/other' }));
  }),
  wrongLog('a record that names another jti than its manifest', 21, ({ log, key, node }) => {
    const manifest = log.manifest(key, node, log.submit(1));
    log.issue({ ...manifest, payload: { ...manifest.payload, jti: log.uuid() } });
  }),
  wrongLog('an attempt that is given twice', 17, ({ log, key, node, other }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.issue(
      log.manifest(
        key,
        other,
        tasks.map((task) => ({ ...task, attempt: 0 })),
      ),
    );
  }),
  wrongLog('a receipt that answers no order', 15, ({ log, node }) => {
    log.answer(
      log.receipt(
        node,
        log.submit(1).map((task) => [{ ...task, attempt: 1 }, 'succeeded']),
      ),
    );
  }),
  wrongLog('a receipt of another node than the manifest names', 15, ({ log, key, node, other }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        other,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('an order that is answered twice', 15, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    for (let twice = 0; twice < 2; twice++)
      log.answer(
        log.receipt(
          node,
          tasks.map((task) => [task, 'succeeded']),
        ),
      );
  }),
  wrongLog('an order that is lost after it was answered', 15, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
    log.lose(tasks.map((task) => [task.id, task.attempt]));
  }),
  absentLog('late results of orders that their node never had, or that have no stop', 0, undefined, (setting) => {
    const { log, key, node, other } = setting;
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    const invented = log.submit(1).map((task) => ({ ...task, attempt: 3 }));
    for (const answered of [tasks, invented]) {
      log.answer(
        log.receipt(
          other,
          answered.map((task) => [task, 'succeeded']),
        ),
        'late',
      );
    }
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
      'late',
    );
  }),
  wrongLog('a lost attempt that no manifest gave', 15, ({ log }) => {
    log.lose([[log.uuid(), 1]]);
  }),
  wrongLog('a void manifest that was answered', 16, ({ log, key, node }) => {
    const tasks = log.submit(1);
    const manifest = log.manifest(key, node, tasks);
    log.issue(manifest);
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
    log.voidManifest(manifest);
  }),
  wrongLog('an answer to a void manifest', 16, ({ log, key, node }) => {
    const tasks = log.submit(1);
    const manifest = log.manifest(key, node, tasks);
    log.issue(manifest);
    log.voidManifest(manifest);
    log.answer(
      log.receipt(
        node,
        tasks.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('a record that lists another status than the receipt', 14, ({ log, key, node }) => {
    const tasks = log.submit(1);
    log.issue(log.manifest(key, node, tasks));
    const receipt = log.receipt(
      node,
      tasks.map((task) => [task, 'failed']),
    );
    log.answer(
      receipt,
      'accept',
      receipt.payload.results.map((result) => ({ ...result, status: 'succeeded' })),
    );
  }),
  wrongLog('a prune of what no record named', 18, ({ log }) => {
    log.append({ type: 'evidence.prune', outcome: 'success', data: { sha256: [sha256Hex('never')] } });
  }),
  {
    name: 'a receipt of which a result is told by no record',
    exitCode: 1,
    rule: 14,
    member: 'records.jsonl',
    build: () =>
      played(({ log, key, node }) => {
        const tasks = log.submit(2);
        log.issue(log.manifest(key, node, tasks));
        const receipt = log.receipt(
          node,
          tasks.map((task) => [task, 'succeeded']),
        );
        log.answer(receipt, 'accept', receipt.payload.results.slice(1));
        log.append({ type: 'log.heartbeat', outcome: 'success' });
      }),
  },
];

const receipts: Case[] = [
  wrongLog('two receipts of one number', 23, ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    for (const task of tasks) log.answer(log.receipt(node, [[task, 'succeeded']], { seq: 0 }));
  }),
  wrongLog('a boot that names an earlier last receipt than is there', 23, ({ log, key, node }) => {
    const tasks = log.submit(3);
    log.issue(log.manifest(key, node, tasks));
    for (const task of tasks.slice(0, 2)) log.answer(log.receipt(node, [[task, 'succeeded']]));
    log.reboot(node);
    node.previous = { boot_id: node.previous?.boot_id ?? '', seq: 0 };
    log.answer(
      log.receipt(
        node,
        tasks.slice(2).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  wrongLog('two boots that both are the first', 23, ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.slice(1).map((task) => [task, 'succeeded']),
      ),
    );
    log.reboot(node);
    delete node.previous;
    log.answer(
      log.receipt(
        node,
        tasks.slice(0, 1).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a receipt that is missing in its sequence', 2, 'receipt_gap', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    for (const task of tasks) log.answer(log.receipt(node, [[task, 'succeeded']]));
    node.seq++;
    const more = log.submit(1);
    log.issue(log.manifest(key, node, more));
    log.answer(
      log.receipt(
        node,
        more.map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a boot that names a later last receipt than is there', 2, 'receipt_gap', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    log.answer(
      log.receipt(
        node,
        tasks.slice(1).map((task) => [task, 'succeeded']),
      ),
    );
    log.reboot(node);
    node.previous = { boot_id: node.previous?.boot_id ?? '', seq: 4 };
    log.answer(
      log.receipt(
        node,
        tasks.slice(0, 1).map((task) => [task, 'succeeded']),
      ),
    );
  }),
  absentLog('a receipt whose last record tells only a part', 2, 'untold_results', ({ log, key, node }) => {
    const tasks = log.submit(2);
    log.issue(log.manifest(key, node, tasks));
    const receipt = log.receipt(
      node,
      tasks.map((task) => [task, 'succeeded']),
    );
    log.answer(receipt, 'accept', receipt.payload.results.slice(1));
  }),
  absentLog('times that step back, which is no reason to refuse', 0, undefined, ({ log, key, node }) => {
    log.nowMs -= 20_000;
    log.issue(log.manifest(key, node, log.submit(2)));
  }),
];

const members: Case[] = [
  wrongMember('a first record that names a record before it', 6, 'records.jsonl', (text) =>
    editLine(text, 0, (line) => ({ ...line, prev: firstPrev.replace('AAA', 'AAB') })),
  ),
  wrongMember('a record that is not canonical', 4, 'records.jsonl', (text) => text.replace('{"', '{ "')),
  wrongMember('bundle.json with another size', 26, 'bundle.json', (text) =>
    editLine(text, 0, (line) => ({ ...line, size: Number(line['size']) + 1 })),
  ),
  wrongMember('keys.json that lacks a key', 26, 'keys.json', (text) =>
    editLine(text, 0, ({ keys: listed }) => ({ keys: (listed as CanonicalValue[]).slice(1) })),
  ),
  wrongMember('keys.json that says another time', 26, 'keys.json', (text) =>
    text.replace(/"writ_from":"2026/, '"writ_from":"2025'),
  ),
  wrongMember('manifests in another order', 27, 'manifests.jsonl', (text) => {
    const [first = '', second = '', ...others] = text.split('\n');
    return [second, first, ...others].join('\n');
  }),
  wrongMember('a manifest whose bytes have another hash', 21, 'manifests.jsonl', (text) =>
    editLine(text, 1, (line) => ({ ...line, sha256: sha256Hex('another') })),
  ),
  wrongMember('a receipt that no record names', 27, 'receipts.jsonl', (text) => {
    const { jws } = parseEvidenceLine(text.split('\n')[0] ?? '');
    const more = signJws(ed25519Key(5), 'writ-receipt+jws', { more: jws.length });
    return text + formatMemberLine(more);
  }),
  wrongMember('checkpoints that do not ascend', 27, 'checkpoints.jsonl', (text) => {
    const [first = '', ...others] = text.split('\n');
    return [first, first, ...others].join('\n');
  }),
  wrongMember('a checkpoint with an extension line', 24, 'checkpoint', (text) => text.replace('\n\n', '\nmore\n\n')),
  wrongMember('a checkpoint without the signature of the log', 24, 'checkpoint', (text) =>
    text.replace(`— ${origin}`, '— someone.else'),
  ),
  wrongMember(
    'a proof of an earlier key that leads elsewhere',
    28,
    trustMember,
    (text) => editLine(text, 1, (line) => ({ ...line, proof: (line['proof'] as CanonicalValue[]).slice(1) })),
    30,
  ),
  wrongMember('a member that no bundle has', 30, 'extra.txt', () => 'hello\n'),
];

const others: Case[] = [
  {
    name: 'a manifest that is not in the bundle',
    exitCode: 2,
    absence: 'missing_evidence',
    build: async () => {
      const { log } = buildGoodLog();
      const bundle = await log.bundle();
      const lines = (bundle.get('manifests.jsonl') ?? '').toString().split('\n');
      bundle.set('manifests.jsonl', Buffer.from(lines.filter((_, i) => i !== 3).join('\n')));
      return { members: bundle, policy: log.policy };
    },
  },
  {
    name: 'evidence that was pruned',
    exitCode: 2,
    absence: 'pruned_evidence',
    build: async () => {
      const { log, pruned } = buildGoodLog(60, { prune: true });
      return { members: await log.bundle(0, pruned), policy: log.policy };
    },
  },
  {
    name: 'a part of a log without its trust.jsonl',
    exitCode: 2,
    absence: 'no_trust',
    build: async () => {
      const { log } = buildGoodLog();
      const bundle = await log.bundle(30);
      bundle.delete(trustMember);
      return { members: bundle, policy: log.policy };
    },
  },
  ...[0, 1].map((cosigned): Case => {
    const name = cosigned === 1 ? 'a checkpoint that the witness cosigned' : 'a checkpoint that no witness cosigned';
    return {
      name,
      exitCode: cosigned === 1 ? 0 : 2,
      ...(cosigned === 1 ? {} : { absence: 'not_witnessed' }),
      build: async () => {
        const { log } = buildGoodLog();
        const witness = ed25519Key(50);
        const vkey = formatVerifierKey('witness.example/w1', rawPublicKey(witness), cosignatureType);
        const policy = `${log.policy.split('\n')[0] ?? ''}\nwitness w1 ${vkey}\nquorum w1\n`;
        if (cosigned === 1) cosign(log, witness);
        return { members: await log.bundle(), policy };
      },
    };
  }),
  ...(['both', 'new alone'] as const).map((signers): Case => {
    const isCovered = signers === 'both';
    return {
      name: isCovered ? 'a new log key that the old one covers' : 'a new log key that no believed checkpoint covers',
      exitCode: isCovered ? 0 : 1,
      ...(isCovered ? {} : { rule: 24, member: 'checkpoint' }),
      build: async () => {
        const [oldKey, newKey] = [ed25519Key(1), ed25519Key(11)];
        const log = new LogBuilder([oldKey, newKey]);
        log.append({ type: 'service.start', outcome: 'success' });
        log.checkpoint([0]);
        log.trustKey(newKey, 'log');
        if (isCovered) log.checkpoint([0, 1]);
        log.append({ type: 'log.heartbeat', outcome: 'success' });
        log.checkpoint([1]);
        return { members: await log.bundle(), policy: log.policy };
      },
    };
  }),
];

/** The last checkpoint, with a witness's cosignature/v1 beside the log's own signature. */
function cosign(log: LogBuilder, witness: TestKey): void {
  const last = log.checkpoints.pop();
  const text = `${(last?.note ?? '').split('\n\n')[0] ?? ''}\n`;
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(log.nowS));
  const signature = Buffer.concat([time, witness.signOne(cosignedMessage(text, BigInt(log.nowS)))]);
  const keyId = noteKeyId('witness.example/w1', cosignatureType, rawPublicKey(witness));
  log.checkpoint([0], [{ name: 'witness.example/w1', keyId, signature }]);
}

export const cases: readonly Case[] = [...records, ...keys, ...orders, ...receipts, ...members, ...others];
