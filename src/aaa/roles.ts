/** The built-in roles and what they amount to. */

import { permissions, type Permission, type Role } from '../domain/principal.ts';

/** Auditors cannot act; security administrators cannot submit; only `admin` holds everything. */
export const builtInRoles: Readonly<Record<string, Role>> = {
  viewer: { permissions: ['tasks:read', 'tools:read', 'nodes:read'], includes: [] },
  operator: {
    permissions: ['tasks:submit', 'tasks:cancel', 'tasks:redrive', 'tasks:settle', 'scopes:read'],
    includes: ['viewer'],
  },
  approver: { permissions: [], includes: ['viewer'] },
  auditor: {
    permissions: ['audit:read', 'audit:export', 'tokens:read', 'scopes:read', 'keys:read'],
    includes: ['viewer'],
  },
  'fleet-admin': { permissions: ['telemetry:read', 'telemetry:resend'], includes: ['viewer'] },
  'security-admin': {
    permissions: [
      ...['tokens:create', 'tokens:read', 'tokens:revoke', 'scopes:read', 'scopes:write', 'audit:read'],
      ...['keys:read', 'keys:rotate'],
    ] as Permission[],
    includes: ['viewer'],
  },
  admin: { permissions, includes: ['operator', 'approver', 'auditor', 'fleet-admin', 'security-admin'] },
  node: { permissions: [], includes: [] },
};

/** What a set of role names amounts to: all roles included by them, and all permissions. Unknown names give nothing. */
export interface RoleClosure {
  roles: ReadonlySet<string>;
  permissions: ReadonlySet<Permission>;
}

/** Follows `includes` from the given roles. */
export function closeRoles(names: readonly string[], table = builtInRoles): RoleClosure {
  const roles = new Set<string>();
  const held = new Set<Permission>();
  const open = [...names];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const role = Object.hasOwn(table, name) ? table[name] : undefined;
    if (role === undefined || roles.has(name)) continue;
    roles.add(name);
    for (const permission of role.permissions) held.add(permission);
    open.push(...role.includes);
  }
  return { roles, permissions: held };
}

const closures = new Map(Object.keys(builtInRoles).map((role) => [role, closeRoles([role]).roles]));

/** Whether holding `role` means holding `required` too. */
export function roleImplies(role: string, required: string): boolean {
  return closures.get(role)?.has(required) === true;
}
