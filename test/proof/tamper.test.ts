import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { formatMemberLine, parseBundleHeader, parseCheckpointLine } from '../../src/proof/bundle.ts';
import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { RecordChain } from '../../src/proof/chain.ts';
import { Evidence } from '../../src/proof/evidence.ts';
import { LineReader } from '../../src/proof/lines.ts';
import { parsePolicy } from '../../src/proof/policy.ts';
import { leafHash } from '../../src/proof/record.ts';
import { Contradiction, type VerifyReport } from '../../src/proof/report.ts';
import { CompactRange } from '../../src/proof/tree.ts';
import { verifyBundle } from '../../src/proof/verify.ts';
import { buildGoodLog } from './build-bundle.ts';
import type { LogBuilder, Members } from './log-builder.ts';
import { memorySource } from './memory-source.ts';

describe('a bundle of 300 records that was tampered with', () => {
  let log: LogBuilder;
  let good: Members;

  before(async () => {
    ({ log } = buildGoodLog(300));
    good = await log.bundle();
  });

  const verify = (members: Members): Promise<VerifyReport> =>
    verifyBundle(memorySource(members, 65_536), { policy: parsePolicy(log.policy) });

  const change = (member: string, edit: (bytes: Buffer) => Buffer | string): Members => {
    const members = new Map(good);
    members.set(member, Buffer.from(edit(Buffer.from(good.get(member) ?? []))));
    return members;
  };

  const flip = (member: string, at: number, mask = 1): Members =>
    change(member, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ mask;
      return bytes;
    });

  const linesOf = (member: string): string[] => (good.get(member) ?? '').toString().split('\n').slice(0, -1);

  it('verifies before anything is changed', async () => {
    expect(await verify(good)).to.include({ exit_code: 0, verdict: 'verified' });
  });

  it('names the record of every single byte of records.jsonl that is changed', async function () {
    this.timeout(120_000);
    const lines = linesOf('records.jsonl').map((line) => Buffer.from(`${line}\n`));
    const root = log.range(log.size).root();
    const header = parseBundleHeader((good.get('bundle.json') ?? '').toString());
    const range = new CompactRange();
    for (const [seq, line] of lines.entries()) {
      // Beginning at the record before, so that each change is seen from both sides.
      const from = Math.max(0, seq - 1);
      const part = { ...header, from, prefix: range.hashes.map((hash) => hash.toString('base64')) };
      const ahead = Buffer.concat(lines.slice(from, seq));
      const behind = Buffer.concat(lines.slice(seq + 1, seq + 4));
      // The last record has no successor: the root shows that it is bad, which the next test sees.
      const isLast = seq === lines.length - 1;
      for (let at = 0; at < line.length && !isLast; at++) {
        const bytes = Buffer.concat([ahead, line, behind]);
        bytes[ahead.length + at] = (bytes[ahead.length + at] ?? 0) ^ (1 << (at % 7));
        const finding = await firstBadOfChain(new RecordChain(readerOf(bytes), part, root));
        expect(finding, `byte ${at.toString()} of record ${seq.toString()}`).to.include({
          member: 'records.jsonl',
          seq,
        });
      }
      if (seq > 0) range.append(log.leaves[seq - 1] ?? Buffer.alloc(0));
    }
  });

  it('names the last record, or the interval that ends with it, for every single byte of it', async function () {
    this.timeout(60_000);
    const bytes = (good.get('records.jsonl') ?? Buffer.alloc(0)).length;
    const last = Buffer.byteLength(linesOf('records.jsonl').at(-1) ?? '') + 1;
    for (let at = bytes - last; at < bytes; at += 5) {
      const report = await verify(flip('records.jsonl', at));
      const bad = report.first_bad;
      expect(report.exit_code).to.equal(1);
      expect(bad?.last_seq ?? bad?.seq, `byte ${at.toString()}`).to.equal(log.size - 1);
    }
  });

  it('names the line of every single byte of manifests and receipts that is changed', async function () {
    this.timeout(120_000);
    for (const member of ['manifests.jsonl', 'receipts.jsonl']) {
      for (const text of linesOf(member)) {
        const line = Buffer.from(`${text}\n`);
        for (let at = 0; at < line.length; at++) {
          const bytes = Buffer.from(line);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 7));
          const finding = await failureOf(() => new Evidence(member, readerOf(bytes)).read());
          expect(finding, `byte ${at.toString()}`).to.include({ member, line: 1 });
        }
      }
    }
  });

  for (const member of ['checkpoint', 'log.vkey', 'bundle.json', 'checkpoints.jsonl', 'keys.json']) {
    it(`names ${member} for any of its bytes`, async function () {
      this.timeout(120_000);
      const bytes = good.get(member) ?? Buffer.alloc(0);
      const created = bytes.indexOf('"created":"');
      // The time in bundle.json is informative and nothing holds it (rule 26).
      const isInformative = (at: number): boolean =>
        member === 'bundle.json' && at >= created + 11 && at < created + 35 && created >= 0;
      const stride = bytes.length > 600 ? 11 : 1;
      for (let at = 0; at < bytes.length; at += stride) {
        if (isInformative(at)) continue;
        const report = await verify(flip(member, at));
        expect(report.exit_code, `byte ${at.toString()}`).to.equal(1);
        expect(report.first_bad?.member, `byte ${at.toString()}`).to.equal(member);
      }
    });
  }

  it('is found as a whole wherever a byte is changed', async function () {
    this.timeout(120_000);
    for (const member of ['records.jsonl', 'manifests.jsonl', 'receipts.jsonl']) {
      const bytes = good.get(member) ?? Buffer.alloc(0);
      const lineEnds = [...bytes.keys()].filter((at) => bytes[at] === 0x0a);
      for (let at = 5; at < bytes.length; at += 1499) {
        const line = lineEnds.filter((end) => end < at).length + 1;
        const report = await verify(flip(member, at, 1 << (at % 8)));
        expect(report.exit_code, `byte ${at.toString()} of ${member}`).to.equal(1);
        expect(report.first_bad, `byte ${at.toString()} of ${member}`).to.include({ member, line });
      }
    }
  });

  it('names the record that was deleted', async () => {
    for (const seq of [0, 1, 57, 298]) {
      const lines = linesOf('records.jsonl');
      lines.splice(seq, 1);
      const report = await verify(change('records.jsonl', () => `${lines.join('\n')}\n`));
      expect(report.first_bad).to.include({ member: 'records.jsonl', seq });
    }
  });

  it('names the first of two records that changed places, and a record that was put in', async () => {
    const swapped = linesOf('records.jsonl');
    swapped.splice(100, 2, swapped[101] ?? '', swapped[100] ?? '');
    const report = await verify(change('records.jsonl', () => `${swapped.join('\n')}\n`));
    expect(report.first_bad).to.include({ seq: 100 });
    const inserted = linesOf('records.jsonl');
    inserted.splice(100, 0, inserted[99] ?? '');
    const other = await verify(change('records.jsonl', () => `${inserted.join('\n')}\n`));
    expect(other.first_bad).to.include({ seq: 100 });
  });

  it('is found where records are cut off at the end, or added', async () => {
    const lines = linesOf('records.jsonl');
    const short = await verify(change('records.jsonl', () => `${lines.slice(0, -3).join('\n')}\n`));
    expect(short.first_bad).to.include({ rule: 31, seq: log.size - 3 });
    const last = lines.at(-1) ?? '';
    const more = JSON.parse(last) as Record<string, CanonicalValue>;
    const prev = leafHash(last).toString('base64');
    const long = canonicalize({ ...more, seq: log.size, prev, id: log.uuid() });
    const report = await verify(change('records.jsonl', (bytes) => `${bytes.toString()}${long}\n`));
    expect(report.first_bad).to.include({ member: 'records.jsonl', seq: log.size });
  });

  it('names the interval since the last checkpoint that fits, where the chain was computed anew', async () => {
    const lines = linesOf('records.jsonl');
    const seq = 120;
    const forged = { ...(JSON.parse(lines[seq] ?? '') as Record<string, CanonicalValue>), request_id: 'forged' };
    lines[seq] = canonicalize(forged);
    for (let next = seq + 1; next < lines.length; next++) {
      const prev = leafHash(lines[next - 1] ?? '').toString('base64');
      lines[next] = canonicalize({ ...(JSON.parse(lines[next] ?? '') as Record<string, CanonicalValue>), prev });
    }
    const report = await verify(change('records.jsonl', () => `${lines.join('\n')}\n`));
    const sizes = log.checkpoints.map(({ size }) => size);
    expect(report.first_bad).to.include({
      rule: 32,
      seq: Math.max(...sizes.filter((size) => size <= seq)),
      last_seq: Math.min(...sizes.filter((size) => size > seq)) - 1,
    });
  });

  it('is found where the log was rolled back behind what is remembered, or forked', async () => {
    const policy = parsePolicy(log.policy);
    const state = {
      log: parseBundleHeader((good.get('bundle.json') ?? '').toString()).log,
      size: log.size,
      root: log.range(log.size).root(),
    };
    expect(await verifyBundle(memorySource(good), { policy, state })).to.include({ exit_code: 0 });
    const earlier = log.checkpoints.at(-2);
    const { log: shorter } = buildGoodLog(300);
    shorter.checkpoints.splice(shorter.checkpoints.length - 1);
    const rolledBack = await verifyBundle(memorySource(await shorter.bundle()), { policy, state });
    expect(rolledBack.first_bad).to.include({ member: 'checkpoint', rule: 33, found: String(earlier?.size) });
    const forked = await verifyBundle(memorySource(good), {
      policy,
      state: { ...state, size: 50, root: leafHash('another') },
    });
    expect(forked.first_bad).to.include({ member: 'records.jsonl', last_seq: 49 });
  });

  it('is found where an earlier checkpoint was signed over another tree', async () => {
    const other = buildGoodLog(300).log;
    const size = 200;
    other.leaves[150] = leafHash('a fork');
    const lines = linesOf('checkpoints.jsonl').map(parseCheckpointLine);
    const forked = [...lines, { size, note: other.noteOf(size) }].sort((one, two) => one.size - two.size);
    const unique = forked.filter(({ size: own }, i) => own !== forked[i - 1]?.size);
    const report = await verify(change('checkpoints.jsonl', () => unique.map(formatMemberLine).join('')));
    expect(report.first_bad).to.include({ member: 'records.jsonl', last_seq: size - 1, rule: 32 });
  });
});

function readerOf(bytes: Buffer): LineReader {
  const members: Members = new Map([['lines', bytes]]);
  return new LineReader(memorySource(members, bytes.length).chunks('lines'), 1024 * 1024);
}

async function firstBadOfChain(chain: RecordChain): Promise<object | undefined> {
  return failureOf(async () => {
    for (let read = 0; read < 3; read++) await chain.next();
  });
}

async function failureOf(act: () => Promise<void>): Promise<object | undefined> {
  try {
    await act();
  } catch (error) {
    return error instanceof Contradiction ? error.finding : { error };
  }
  return undefined;
}
