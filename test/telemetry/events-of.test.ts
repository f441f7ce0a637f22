/** What records become for consumers: each event whole, whatever it has in common with the one before. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { AuditRecord } from '../../src/proof/record.ts';
import { eventsOf } from '../../src/telemetry/events-of.ts';

const base = { v: 1, log: 'example.com/log', id: 'r', seq: 7, ts: '2026-01-31T12:00:00.000Z', prev: '' };
const place = { audit_seq: 7, previous_audit_seq: 5 };

function project(members: object): Record<string, unknown>[] {
  const record = { ...base, ...members } as unknown as AuditRecord;
  return eventsOf(record, 5, () => true).map(({ json }) => JSON.parse(json) as Record<string, unknown>);
}

describe('the events of a record', () => {
  it('tell of each result by itself, in whatever order statuses, attempts and retries come', () => {
    const result = fc.tuple(
      fc.constantFrom('t1', 't2', 'é"\u2028'),
      fc.constantFrom(1, 2),
      fc.constantFrom('succeeded', 'failed', 'timed_out'),
    );
    const lists = fc.array(result, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(lists, fc.subarray(['t1', 't2']), (results, retried) => {
        const actor = { id: 'node-1', kind: 'node' };
        const events = project({ type: 'receipt.accept', outcome: 'success', actor, data: { results, retried } });
        expect(events.map(({ event_id: _, ...rest }) => rest)).to.deep.equal(
          results.map(([id, attempt, status], index) => ({
            event_type: retried.includes(id) ? 'task.retried' : 'task.finished',
            timestamp: base.ts,
            actor,
            target: { kind: 'task', id },
            status,
            attributes: { ...place, index, count: results.length, attempt, node_id: 'node-1' },
          })),
        );
        expect(new Set(events.map(({ event_id }) => event_id)).size).to.equal(results.length);
      }),
    );
  });

  it('have ids that end in their index', () => {
    const ids = Array.from({ length: 300 }, (_, n) => `t${n}`);
    const events = project({ type: 'task.submit', outcome: 'allow', target: { kind: 'task', ids }, data: {} });
    const ends = events.map(({ event_id }) => String(event_id).slice(-4));
    expect(ends.slice(0, 2).concat(ends.slice(-1))).to.deep.equal(['0000', '0001', '012b']);
    expect(events.map(({ target }) => target)).to.deep.equal(ids.map((id) => ({ kind: 'task', id })));
  });

  it('say null of an actor and a target that a record does not have', () => {
    const [event] = project({ type: 'log.heartbeat', outcome: 'success', reason: 'r"', request_id: 'q' });
    expect(event).to.deep.include({ actor: null, target: null, status: 'success', event_type: 'audit.heartbeat' });
    expect(event?.['attributes']).to.deep.equal({ ...place, index: 0, count: 1, reason: 'r"', request_id: 'q' });
  });
});
