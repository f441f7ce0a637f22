/** A fleet on a database of its own, with a real log and a broker in the process; its nodes are as many calls. */

import { createHash } from 'node:crypto';
import { generateApiKey, parseApiKey } from '../../src/aaa/api-key.ts';
import { insertToken } from '../../src/aaa/token-sql.ts';
import type { Broker } from '../../src/domain/broker.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { newId, type BootId, type TokenId } from '../../src/domain/ids.ts';
import type { Heartbeat, HeartbeatAnswer } from '../../src/domain/node.ts';
import { Fleet } from '../../src/fleet/fleet.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import { startTestLog, type TestLog } from '../ledger/test-log.ts';
import { ed25519Key, type TestKey } from '../proof/keys.ts';

/** What a node keeps. */
export interface TestNode {
  nodeId: string;
  key: TestKey;
  credential: string;
  bootId: string;
}

type Told = Pick<Heartbeat, 'status' | 'slots' | 'capabilities' | 'config_version' | 'manifest_kids'>;

const saysNothing: Told = { status: 'active', slots: 1, capabilities: [], config_version: 0 };

export interface TestFleet {
  fleet: Fleet;
  log: TestLog;
  broker: Broker;
  join(): Promise<TestNode>;
  /** One heartbeat, with what of the node's is to be different. */
  beat(node: TestNode, over?: Partial<Pick<TestNode, 'credential' | 'bootId'> & Told>): Promise<HeartbeatAnswer>;
  /** Records of a type, in the order of the log. */
  records(
    type: string,
  ): Promise<{ reason?: string; actor?: { id: string }; target?: { id?: string }; data?: object }[]>;
  drop(): Promise<void>;
}

export interface TestFleetOptions {
  credentialLifetimeS?: number;
  onNodesChanged?: () => void;
}

/** Begins one without nodes. */
export async function startTestFleet(options: TestFleetOptions = {}): Promise<TestFleet> {
  const { credentialLifetimeS = 600, onNodesChanged = () => undefined } = options;
  const log = await startTestLog();
  const { database, audit, origin, vkey } = log;
  const server = new InProcessBrokerServer();
  const broker = server.connect();
  const fleet = new Fleet({
    ...{ database, broker, audit, origin, vkey, credentialLifetimeS },
    // What is kept for a moment is kept: calls cost what they cost.
    ...{ clock: { ...systemClock, monotonicMs: () => 0 }, random: Math.random, processId: newId<BootId>() },
    ...{ heartbeatIntervalS: 1, heartbeatMisses: 3, leaseS: 60, brokerAccess: {} },
    onCertifyFailure: () => undefined,
    isFenced: () => false,
    onNodesChanged,
    onLost: () => undefined,
  });
  let keys = 0;
  return {
    ...{ fleet, log, broker },
    join: async () => {
      const token = generateApiKey('join');
      const { sha256, prefix } = parseApiKey(token) ?? { sha256: Buffer.alloc(0), prefix: '' };
      await insertToken(database, {
        ...{ token_id: newId<TokenId>(), sha256, prefix, kind: 'join', name: 'a node', roles: [] },
        ...{ scope: null, networks: [], created_by: 'test', expires_at: new Date(Date.now() + 600_000) },
      });
      const key = ed25519Key(++keys);
      const request = { config: { listen_addr: '', capabilities: [] }, receipt_key: key.jwk };
      const { node_id: nodeId, credential } = await fleet.join(token, request, 'test');
      return { nodeId, key, credential, bootId: newId<BootId>() };
    },
    beat: (node, over = {}) => {
      const { nodeId, credential, bootId, ...told } = { ...saysNothing, ...node, ...over };
      return fleet.heartbeat(credential, nodeId, heartbeat(bootId, told));
    },
    records: async (type) => {
      await log.chain();
      const { rows } = await database.query<{ line: Buffer }>(
        'select line from audit_log where type = $1 order by seq',
        [type],
      );
      return rows.map(({ line }) => JSON.parse(line.toString()) as { reason?: string });
    },
    drop: async () => {
      server.close();
      await log.drop();
    },
  };
}

/** Of a node that has nothing in hand. */
function heartbeat(bootId: string, { status, slots, capabilities, config_version, manifest_kids }: Told): Heartbeat {
  return {
    ...{ boot_id: bootId, status, metrics: {}, slots, capabilities },
    attempts: { count: 0, sha256: createHash('sha256').digest('hex') },
    ...{ receipts_seq: -1, spooled_boots: [], config_version },
    ...(manifest_kids === undefined ? {} : { manifest_kids }),
  };
}
