import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { closeRoles } from '../../../src/aaa/roles.ts';
import type { Permission } from '../../../src/domain/principal.ts';
import { openDoor, roleNames, type DoorFixture } from './fixture.ts';

const someId = '01890000-0000-7000-8000-000000000001';

describe('every route with every role', () => {
  let door: DoorFixture;
  const tokens = new Map<string, string>();

  before(async () => {
    door = await openDoor();
    for (const role of roleNames) tokens.set(role, await door.token({ roles: [role] }));
  });

  after(() => door.close());

  const pathOf = (path: string): string =>
    path.replaceAll(/\{(\w+)\}/g, (_, name: string) => (name.endsWith('_id') ? someId : '0'));

  it('refuses what the role does not hold, and nothing else', async () => {
    for (const route of door.door.routes) {
      if (!route.access.includes(':')) continue;
      for (const role of roleNames) {
        const answer = await door.call(route.method.toUpperCase(), pathOf(route.path), {
          token: tokens.get(role) ?? '',
          ...(route.body === undefined ? {} : { body: {} }),
        });
        const mayCall = closeRoles([role]).permissions.has(route.access as Permission);
        const what = `${role} ${route.method} ${route.path}: ${answer.text}`;
        if (mayCall) expect(answer.status, what).not.to.be.oneOf([401, 403, 500]);
        else expect([answer.status, answer.body.code], what).to.deep.equal([403, 'permission_missing']);
      }
    }
    expect(door.failures).to.deep.equal([]);
  });

  it('records a denied call with its permission, reason and target', async () => {
    const token = await door.token({ roles: ['viewer'], name: 'curious' });
    await door.call('POST', `/api/v1/tasks/${someId}/cancel`, {
      token,
      body: {},
      headers: { 'X-Request-Id': 'denied-1' },
    });
    const record = (await door.records()).find(({ actor }) => actor?.id === 'curious');
    expect(record).to.deep.include({
      type: 'auth.deny',
      outcome: 'deny',
      reason: 'permission_missing',
      request_id: 'denied-1',
      target: { kind: 'task', id: someId },
    });
    expect(record?.authz?.permission).to.equal('tasks:cancel');
  });

  it('refuses everybody without a credential, with one generic text', async () => {
    const details = new Set<string>();
    for (const route of door.door.routes) {
      // Joins and heartbeats are refused by the fleet.
      if (!route.access.includes(':') && route.access !== 'any') continue;
      const answer = await door.call(
        route.method.toUpperCase(),
        pathOf(route.path),
        route.body === undefined ? {} : { body: {} },
      );
      expect([answer.status, answer.body.code], `${route.method} ${route.path}`).to.deep.equal([
        401,
        'unauthenticated',
      ]);
      expect(answer.headers.get('www-authenticate')).to.equal('Bearer');
      details.add(answer.body.detail);
    }
    expect(details.size).to.equal(1);
  });

  it('answers open routes to anybody', async () => {
    for (const route of door.door.routes) {
      if (route.access !== 'none') continue;
      expect((await door.call('GET', route.path)).status, route.path).to.equal(200);
    }
  });
});
