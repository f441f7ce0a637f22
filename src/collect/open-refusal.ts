/** Opens a node's signed notice that it refused a manifest as a whole. */

import type { Delivery } from '../domain/broker.ts';
import { newId, type RecordId } from '../domain/ids.ts';
import type { RecordDraft } from '../ledger/audit-logger.ts';
import type { CanonicalValue } from '../proof/canonical-json.ts';
import { isSha256Hex } from '../proof/hash.ts';
import { isUuid } from '../proof/ids.ts';
import { verifyCompactJws } from '../proof/jws.ts';
import { prove } from '../proof/proof-error.ts';
import { checkShape, isCount, isText, type MemberCheck } from '../proof/shape.ts';
import type { FindNodeKey } from './open-receipt.ts';

/** Payload of a refusal: compact JWS of type `writ-refusal+jws`, by the node's receipt key. */
export interface RefusalPayload {
  iss: string;
  iat: number;
  /** Of the bytes that came as a manifest. */
  manifest_sha256: string;
  reason: string;
}

const members: Record<keyof RefusalPayload, MemberCheck> = {
  iss: { holds: isUuid, expected: 'a node id' },
  iat: { holds: (v) => isCount(v), expected: 'a number of seconds' },
  manifest_sha256: { holds: isSha256Hex, expected: '64 hex digits' },
  reason: { holds: (v) => isText(v, 64), expected: 'a code' },
};

/** The record of a refusal; throws a ProofError where the notice itself does not verify. */
export function openRefusal(delivery: Delivery, findKey: FindNodeKey): RecordDraft {
  const { key, payload } = verifyCompactJws(delivery.body, 'writ-refusal+jws', (kid) => findKey(kid)?.key);
  const refusal = checkRefusal(payload);
  prove(findKey(key.kid)?.nodeId === refusal.iss, 'bad_issuer', 'signed by the key of another node');
  return {
    id: newId<RecordId>(),
    type: 'manifest.refuse',
    outcome: 'deny',
    reason: refusal.reason,
    actor: { id: refusal.iss, kind: 'node' },
    target: { kind: 'node', id: refusal.iss },
    data: { manifest_sha256: refusal.manifest_sha256 },
  };
}

function checkRefusal(payload: CanonicalValue): RefusalPayload {
  checkShape(payload, members, 'refusal');
  return payload as unknown as RefusalPayload;
}
