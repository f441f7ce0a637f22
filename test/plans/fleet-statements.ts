/** Who calls: tokens, nodes and their credentials, who leads. */

import { findTokenBySha256, findTokensById, touchTokens } from '../../src/aaa/token-sql.ts';
import { renewLead, takeLead } from '../../src/engine/leadership.ts';
import { findCredential, lockNode } from '../../src/fleet/credential-sql.ts';
import { markUnhealthy, readCancelRequests, readReceiptSeqs } from '../../src/fleet/fleet-sql.ts';
import { renewLeases } from '../../src/fleet/heartbeat-sql.ts';
import { readNodeDescriptions, readNodeState, readNodeStates } from '../../src/fleet/registry-sql.ts';
import { currentConfig } from '../../src/fleet/node-config.ts';
import { findTrustRecord, readTrustedKeys } from '../../src/ledger/trust.ts';
import { sha256 } from '../../src/proof/hash.ts';
import type { HotStatement } from './hot-statement.ts';
import { bootOfBusiest, perManifest } from './load.ts';

/** The hash that `fill` gives to the `n`th row. */
function hashOf(n: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(n));
  return sha256(bytes);
}

export const fleetStatements: readonly HotStatement[] = [
  {
    name: 'find_token_by_sha256',
    run: (database, load) => findTokenBySha256(database, load.isKnown ? hashOf(5) : hashOf(-5)),
    indexes: ['tokens_sha256_key'],
    rows: () => 1,
  },
  {
    name: 'find_tokens_by_id',
    run: (database, load) => findTokensById(database, [load.id('token', 5)]),
    indexes: ['tokens_pkey'],
    rows: () => 1,
  },
  {
    name: 'touch_tokens',
    run: (database, load) =>
      touchTokens(
        database,
        [1, 2, 3].map((n) => load.id('token', n)),
      ),
    indexes: ['tokens_pkey'],
    rows: () => 3,
    writes: () => 3,
  },
  {
    name: 'renew_lead, take_lead',
    run: async (database, load) => {
      await renewLead(database, 1, load.id('node', 1));
      await takeLead(database, load.id('node', 1));
    },
    indexes: [],
    rows: () => 4,
  },
  {
    name: 'read_node_state, read_node_descriptions',
    run: async (database, load) => {
      await readNodeState(database, load.id('node', 1));
      await readNodeDescriptions(database, [load.id('node', 1)]);
    },
    indexes: [],
    rows: () => 3,
  },
  {
    name: 'read_node_states, mark_unhealthy, read_trusted_keys, current_node_config',
    run: async (database) => {
      await readNodeStates(database);
      await markUnhealthy(database, 86_400);
      await readTrustedKeys(database);
      await currentConfig(database);
    },
    indexes: [],
    // Nodes twice and keys twice.
    rows: (load) => 4 * load.sizes.nodes,
  },
  ...(['renew_leases', 'renew_leases_waiting'] as const).map((name, waits): HotStatement => ({
    name,
    run: (database, load) =>
      renewLeases(
        database,
        [3, 4].map((n) => ({
          node_id: load.id('node', n),
          credential_sha256: hashOf(n),
          boot_id: load.id('boot', n),
          metrics: {},
          slots: 4,
          capabilities: {},
          receipts_through: -1,
        })),
        { leaseS: 30, waits: waits === 1 },
      ),
    indexes: ['manifests_open', 'queue_pkey'],
    also: ['receipts_node_id_boot_id_seq_key'],
    rows: (load) => 2 * (3 * load.sizes.running + load.sizes.dispatched),
    writes: () => 2,
  })),
  {
    name: 'lock_node, find_node_credential',
    run: async (database, load) => {
      await lockNode(database, load.id('node', 3));
      await findCredential(database, load.id('node', 3), load.isKnown ? hashOf(3) : hashOf(-3));
    },
    indexes: [],
    rows: () => 2,
  },
  {
    name: 'read_receipt_seqs',
    run: (database, load) => {
      const boots = load.sizes.finished / perManifest / 2 / bootOfBusiest;
      return readReceiptSeqs(database, load.id('node', 0), load.id('boot', Math.ceil(boots) - 1), bootOfBusiest - 100);
    },
    indexes: ['receipts_node_id_boot_id_seq_key'],
    rows: () => 100,
  },
  {
    name: 'read_cancel_requests',
    run: (database, load) => readCancelRequests(database, load.manifests('running')[0]?.node_id ?? ''),
    indexes: ['queue_pkey'],
    rows: (load) => 4 * load.sizes.cancel_requests,
  },
  {
    name: 'find_trust_record',
    run: (database, load) => findTrustRecord(database, load.name('kid-', 3)),
    indexes: ['audit_log_id_key'],
    rows: () => 2,
  },
];
