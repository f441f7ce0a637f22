/** A real log whose records trust and retire keys, with the proofs that it gives of them. */

import { newId, type NodeId } from '../../src/domain/ids.ts';
import type { RecordDraft } from '../../src/ledger/audit-logger.ts';
import { readProofs } from '../../src/ledger/proofs.ts';
import { findTrustRecord, retireKeys, trustKey } from '../../src/ledger/trust.ts';
import type { TestKey } from '../proof/keys.ts';
import { startTestLog, type TestLog } from './test-log.ts';

export interface KeyLog {
  log: TestLog;
  trust(key: TestKey, use?: 'manifest' | 'node'): Promise<void>;
  retire(key: TestKey): Promise<void>;
  /** Appends one more record and answers where it is. */
  append(draft: RecordDraft): Promise<number>;
  /** Signs all there is, so that it can be proved. */
  sign(): Promise<void>;
  /** Of the record that trusts the key. */
  proofOf(key: TestKey): Promise<string>;
  /** Of any record. */
  proofAt(seq: number): Promise<string>;
}

/** Begins one; it ends with `log.drop`. */
export async function startKeyLog(): Promise<KeyLog> {
  const log = await startTestLog();
  const { database, audit } = log;
  await log.chain();
  const proofAt = async (seq: number): Promise<string> => (await readProofs(database, { seq }))[0] ?? '';
  return {
    log,
    trust: async ({ kid, jwk }, use = 'manifest') => {
      const from = new Date();
      const more = use === 'node' ? { nodeId: newId<NodeId>() } : { signing: { version: 1, from } };
      await database.transaction((tx) => trustKey(tx, audit, { kid, jwk, use, from, ...more }));
      await log.chain();
    },
    retire: async ({ kid }) => {
      await database.transaction((tx) => retireKeys(tx, audit, [kid], new Date(), undefined));
      await log.chain();
    },
    append: async (draft) => {
      await log.append([draft]);
      await log.chain();
      return (await log.size()) - 1;
    },
    sign: () => log.sign(),
    proofOf: async ({ kid }) => proofAt((await findTrustRecord(database, kid)) ?? -1),
    proofAt,
  };
}
