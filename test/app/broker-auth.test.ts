/** What of the questions about nodes is written down: every denial, whatever names somebody made up. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AAAServiceAdapter } from '../../src/aaa/aaa-service-adapter.ts';
import { brokerAuthOf } from '../../src/app/broker-auth.ts';
import { systemClock } from '../../src/domain/clock.ts';
import type { BrokerQuestion } from '../../src/fleet/broker-access.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { startTestFleet, type TestFleet } from '../fleet/test-fleet.ts';

describe('the record of a denial by the broker', () => {
  let test: TestFleet;
  let logged: string[];
  let auth: ReturnType<typeof brokerAuthOf>;

  before(async () => {
    test = await startTestFleet();
    const { database, audit } = test.log;
    logged = [];
    const aaa = new AAAServiceAdapter({ database, audit, clock: systemClock });
    const log = (_level: string, event: string): void => {
      logged.push(event);
    };
    auth = brokerAuthOf({ fleet: test.fleet, aaa, log }, '/');
  });
  after(() => test.drop());

  /** Asks, denies, and answers what was written down for it. */
  async function recorded(question: BrokerQuestion): Promise<Record<string, unknown>> {
    const before = (await test.records('auth.deny')).length;
    const reason = await auth.decide(question);
    if (reason === undefined) throw new Error('not denied');
    auth.onDenied(question, reason);
    return eventually(async () => {
      const records = await test.records('auth.deny');
      expect(logged, 'what is written down is not lost').to.deep.equal([]);
      return records.length > before ? records.at(-1) : undefined;
    });
  }

  it('names the node, what it wanted, and why it may not', async () => {
    const { nodeId: user } = await test.join();
    const name = 'telemetry.events';
    const asked = { about: 'resource', vhost: '/', resource: 'queue', name, permission: 'read' } as const;
    const record = await recorded({ ...asked, user });
    expect(record).to.include({ outcome: 'deny', reason: 'broker_permission' });
    expect(record['actor']).to.deep.equal({ id: user, kind: 'node' });
    expect(record['data']).to.deep.equal({ call: 'broker', ...asked });
  });

  const users: [what: string, user: string, id: string][] = [
    ['no name', '', 'nobody'],
    ['a long name', 'a'.repeat(10_000), 'a'.repeat(64)],
    ['a name that is cut in a character', `${'a'.repeat(63)}\u{1f600}`, `${'a'.repeat(63)}\ufffd`],
    ['half a surrogate pair', '\ud800x', '\ufffdx'],
    ['control characters', 'a\0b\n\u001b[31m', 'a\ufffdb\n\u001b[31m'],
    ['a name of JavaScript', '__proto__', '__proto__'],
  ];
  for (const [what, user, id] of users) {
    it(`is there for a user with ${what}`, async () => {
      const record = await recorded({ about: 'user', user });
      expect(record).to.include({ reason: 'unknown_node' });
      expect(record['actor']).to.deep.equal({ id, kind: 'node' });
    });
  }

  it('is there for a queue with a name that is cut in a character, or is half of one', async () => {
    const { nodeId: user } = await test.join();
    for (const name of [`${'a'.repeat(127)}\u{1f600}`, '\udc00', '', 'a\0b', 'b'.repeat(10_000)]) {
      const record = await recorded({
        about: 'resource',
        user,
        vhost: '/',
        resource: 'queue',
        name,
        permission: 'read',
      });
      expect(record['actor']).to.deep.equal({ id: user, kind: 'node' });
    }
  });

  it('shows no password', async () => {
    const record = await recorded({ about: 'password', user: 'guest' });
    expect(record).to.include({ reason: 'password_login' });
    expect(record['data']).to.deep.equal({ call: 'broker', about: 'password' });
  });
});
