/** Bundles with one wrong member, or less than they name. */

import { formatMemberLine, parseEvidenceLine, trustMember } from '../../src/proof/bundle.ts';
import type { CanonicalValue } from '../../src/proof/canonical-json.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { cosignatureType, cosignedMessage, formatVerifierKey, noteKeyId } from '../../src/proof/note.ts';
import { firstPrev } from '../../src/proof/record.ts';
import { buildGoodLog } from './build-bundle.ts';
import { ed25519Key, rawPublicKey, type TestKey } from './keys.ts';
import { LogBuilder, origin, signJws } from './log-builder.ts';
import { wrongMember, editLine, type Case } from './case.ts';

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

export const bundleCases: readonly Case[] = [...members, ...others];
