/** The built-in roles and what they amount to. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { builtInRoles, closeRoles, roleImplies } from '../../src/aaa/roles.ts';
import { permissions, type Permission, type Role } from '../../src/domain/principal.ts';

const names = Object.keys(builtInRoles);

function held(...roles: string[]): readonly Permission[] {
  return [...closeRoles(roles).permissions];
}

describe('roles', () => {
  it('include what the roles they name include', () => {
    expect([...closeRoles(['operator']).roles].sort()).to.deep.equal(['operator', 'viewer']);
    expect(held('operator')).to.include.members(['tasks:submit', 'tasks:read']);
    expect([...closeRoles(['admin']).roles].sort()).to.deep.equal(names.filter((name) => name !== 'node').sort());
  });

  it('give everything to the administrator, and to nobody else', () => {
    expect(held('admin')).to.have.members([...permissions]);
    for (const name of names) if (name !== 'admin') expect(held(name).length, name).to.be.below(permissions.length);
    expect(held(...names.filter((name) => name !== 'admin'))).to.not.include('targets:private');
  });

  it('keep duties apart: an auditor does not act, who grants access does not submit, a node may nothing', () => {
    for (const permission of held('auditor')) expect(permission).to.match(/:(read|export)$/);
    expect(held('security-admin')).to.not.include.members(['tasks:submit']);
    expect(held('fleet-admin', 'security-admin', 'approver', 'auditor').join(' ')).to.not.match(
      /tasks:(submit|cancel)/,
    );
    expect(held('operator').join(' ')).to.not.match(/tokens:|scopes:write|audit:/);
    expect(held('node')).to.deep.equal([]);
  });

  it('give nothing under a name that is not there, not even one that every object has', () => {
    for (const name of ['nobody', '', 'constructor', '__proto__', 'toString', 'Admin'])
      expect(closeRoles([name]), name).to.deep.equal({ roles: new Set(), permissions: new Set() });
  });

  it('imply themselves and what they include, and not the other way round', () => {
    expect(roleImplies('admin', 'operator')).to.equal(true);
    expect(roleImplies('operator', 'operator')).to.equal(true);
    expect(roleImplies('operator', 'admin')).to.equal(false);
    expect(roleImplies('operator', 'approver')).to.equal(false);
  });

  it('amount to the least set that is closed, in any table, circles included', () => {
    const role = fc.record({
      permissions: fc.subarray([...permissions], { maxLength: 3 }),
      includes: fc.subarray(['a', 'b', 'c', 'd', 'gone']),
    });
    const table = fc.record({ a: role, b: role, c: role, d: role });
    fc.assert(
      fc.property(table, fc.subarray(['a', 'b', 'c', 'd', 'gone']), (roles: Record<string, Role>, asked) => {
        const closed = closeRoles(asked, roles);
        let expected = new Set(asked.filter((name) => name !== 'gone'));
        for (let i = 0; i < 5; i++) {
          const more = [...expected].flatMap((name) => roles[name]?.includes ?? []);
          expected = new Set([...expected, ...more.filter((name) => name !== 'gone')]);
        }
        expect([...closed.roles].sort()).to.deep.equal([...expected].sort());
        const wanted = new Set([...expected].flatMap((name) => roles[name]?.permissions ?? []));
        expect([...closed.permissions].sort()).to.deep.equal([...wanted].sort());
      }),
      { numRuns: 200 },
    );
  });
});
