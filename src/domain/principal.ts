/** Who a call is made by, and what a role may do. */

export const permissions = [
  'tasks:submit',
  'tasks:read',
  'tasks:cancel',
  'tasks:redrive',
  'tasks:settle',
  'tools:read',
  'nodes:read',
  'audit:read',
  'audit:export',
  'tokens:create',
  'tokens:read',
  'tokens:revoke',
  'scopes:read',
  'scopes:write',
  'keys:read',
  'keys:rotate',
  'telemetry:read',
  'telemetry:resend',
  'targets:private',
] as const;
/** `resource:verb`. */
export type Permission = (typeof permissions)[number];

export type PrincipalKind = 'person' | 'service' | 'node' | 'system';

/** An authenticated caller. Everything here comes from the stored credential, nothing from the request but `ip`. */
export interface Principal {
  /** Name of the principal; several credentials may be of one. */
  id: string;
  kind: PrincipalKind;
  method: 'api_key' | 'node_credential' | 'internal';
  credential_id: string;
  /** With those that they include. */
  roles: ReadonlySet<string>;
  permissions: ReadonlySet<Permission>;
  /** Name of the scope that bounds tools and targets; null without one. */
  scope: string | null;
  expires_at: Date | null;
  /** Networks that its credential may be used from; none for any. */
  networks: readonly string[];
  ip: string | null;
}

/** A named set of permissions that may include other roles. */
export interface Role {
  permissions: readonly Permission[];
  includes: readonly string[];
}

/**
 * The scope that stands in an order for a requester who is bound to none and may reach loopback and private addresses. Names
 * that begin so cannot be given to scopes.
 */
export const privateScope = 'builtin.private';
export const reservedScopePrefix = 'builtin.';

/** What bounds the targets of a principal's tasks, as it is signed; null where only public addresses may be reached. */
export function effectiveScope(principal: Pick<Principal, 'scope' | 'permissions'>): string | null {
  return principal.scope ?? (principal.permissions.has('targets:private') ? privateScope : null);
}
