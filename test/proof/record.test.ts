import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { canonicalize, parseCanonical } from '../../src/proof/canonical-json.ts';
import { ProofError } from '../../src/proof/proof-error.ts';
import {
  checkRecord,
  completeRecord,
  firstPrev,
  leafHash,
  recordMaxBytes,
  recordParts,
  type RecordBody,
} from '../../src/proof/record.ts';

const body: RecordBody = {
  v: 1,
  log: 'audit.test.example/writ',
  id: '01890000-0000-7000-8000-000000000000',
  type: 'task.cancel',
  outcome: 'success',
};
const ts = '2026-01-02T03:04:05.678Z';
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 });
const absentOr = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const bodies = fc.record({
  reason: absentOr(text),
  request_id: absentOr(text),
  actor: absentOr(fc.record({ id: text, kind: text, ip: absentOr(text) })),
  authz: absentOr(fc.record({ permission: text, roles: absentOr(fc.array(text)) })),
  target: absentOr(fc.oneof(fc.record({ kind: text, id: text }), fc.record({ kind: text, ids: fc.array(text) }))),
  data: absentOr(fc.dictionary(fc.constantFrom('b', 'a', 'ä', 'prev', 'seq'), fc.oneof(fc.integer(), text))),
});

describe('audit records', () => {
  it('are chained from their parts to exactly the canonical JSON of the whole', () => {
    fc.assert(
      fc.property(bodies, fc.maxSafeInteger().map(Math.abs), (members, seq) => {
        const whole = { ...body, ...members };
        const prev = leafHash('x').toString('base64');
        const line = completeRecord(recordParts(whole), prev, seq, ts);
        expect(line).to.equal(canonicalize({ ...whole, prev, seq, ts }));
        expect(checkRecord(parseCanonical(line)).seq).to.equal(seq);
      }),
    );
  });

  it('have 65,535 bytes at most, however long prev, seq and ts turn out', () => {
    const sized = (bytes: number): RecordBody => ({ ...body, data: { text: 'x'.repeat(bytes) } });
    const longest = (bytes: number): number =>
      completeRecord(recordParts(sized(bytes)), firstPrev, Number.MAX_SAFE_INTEGER, ts).length;
    const most = recordMaxBytes - longest(0);
    expect(longest(most)).to.equal(recordMaxBytes);
    expect(() => recordParts(sized(most + 1))).to.throw(ProofError);
  });

  it('are refused before they are written where a rule is broken', () => {
    const wrong: Partial<RecordBody>[] = [
      { log: '' },
      { id: 'not-a-uuid' },
      { type: 'Task.Cancel' },
      { type: 'task' },
      { outcome: 'maybe' as 'allow' },
      { data: { list: new Array<number>(501).fill(0) } },
      { data: { inner: { value: null } } },
      { data: { value: 0.5 } },
      { data: { value: '\ud800' } },
      { data: {}, data_sha256: 'a'.repeat(64) },
      { data_sha256: 'A'.repeat(64) },
      { target: { kind: 'task' } as RecordBody['target'] & object },
      { target: { kind: 'task', id: 'a', ids: ['b'] } },
      { type: 'manifest.issue' },
      { type: 'manifest.issue', data: { jti: body.id } },
      { type: 'receipt.accept', data: { receipt_sha256: 'a'.repeat(64), results: [[body.id, 1, 'great']] } },
      { type: 'attempt.lost', data: { attempts: [[body.id, 0]] } },
      { type: 'task.submit', outcome: 'deny', data: { tasks_sha256: 'a'.repeat(64) } },
      { type: 'key.retire', data: { kid: 'x' } },
    ];
    for (const members of wrong) {
      expect(() => recordParts({ ...body, ...members }), JSON.stringify(members)).to.throw(ProofError);
    }
  });

  it('have the leaf hash of RFC 6962 over the line alone', () => {
    expect(leafHash('').toString('hex')).to.equal('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    expect(leafHash('é').equals(leafHash(Buffer.from('é')))).to.equal(true);
  });
});
