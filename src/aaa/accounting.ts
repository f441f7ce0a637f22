/** The parts of an audit record that say who did something and by what right. */

import type { Permission, Principal } from '../domain/principal.ts';
import { canonicalize, type CanonicalValue } from '../proof/canonical-json.ts';
import { sha256Hex } from '../proof/hash.ts';
import type { RecordBody } from '../proof/record.ts';
import { builtInRoles } from './roles.ts';

/** SHA-256 of the role table that decisions are made by. */
export const policySha256 = sha256Hex(canonicalize(builtInRoles as unknown as CanonicalValue));

type Actor = NonNullable<RecordBody['actor']>;
type Authz = NonNullable<RecordBody['authz']>;

/** The actor of a record, denormalised: it stays true when the principal is gone. */
export function actorOf(principal: Principal): Actor {
  return {
    id: principal.id,
    kind: principal.kind,
    auth: { method: principal.method, credential_id: principal.credential_id },
    ...(principal.ip === null ? {} : { ip: principal.ip }),
  };
}

/** By which permission, roles and policy a decision was made. */
export function authzOf(principal: Principal, permission: Permission): Authz {
  return { permission, roles: [...principal.roles].sort(), policy_sha256: policySha256 };
}

/** The actor of what a process of Writ does by itself; `processId` is the id of its run. */
export function systemActor(processId: string): Actor {
  return { id: 'writ', kind: 'system', auth: { method: 'internal', credential_id: processId } };
}
