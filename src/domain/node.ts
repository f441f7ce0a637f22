/** What nodes and orchestrators say to each other beside manifests and receipts: joining and heartbeats. */

import { z } from 'zod';
import { scope } from './scope.ts';

const label = z
  .record(z.string().min(1).max(63), z.string().max(255))
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');
/** Of a metric or a tool: visible ASCII, which every table can hold. */
const plainName = z.string().regex(/^[\x21-\x7e]{1,63}$/, '1 to 63 visible ASCII characters');
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hex digits');
const capabilities = z.array(z.strictObject({ tool: plainName, digest })).max(500);
const slots = z.int().min(0).max(10_000);

/** An Ed25519 public key as JWK. */
const receiptKey = z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string().length(43) });

/** A PKCS #10 request in PEM for a certificate to the broker, by a key that never leaves the node. */
const certificateRequest = z.string().max(16 * 1024);

/** Body of `POST /api/v1/nodes/register`; the bearer token is a join token. */
export const joinRequest = z.strictObject({
  config: z.strictObject({
    listen_addr: z.string().max(255),
    backend_addr: z.string().max(255).optional(),
    capabilities,
  }),
  name: z
    .string()
    .regex(/^[a-z][a-z0-9._-]{0,62}$/)
    .optional(),
  labels: label.optional(),
  slots: slots.optional(),
  receipt_key: receiptKey,
  csr: certificateRequest.optional(),
});
export type JoinRequest = z.infer<typeof joinRequest>;

/** What a node works by; it comes with the join and with heartbeats when it has changed. */
export const nodeConfig = z.object({ scopes: z.array(scope) });
export type NodeConfig = z.infer<typeof nodeConfig>;

/** `proof` is a C2SP tlog-proof of the record that trusts the key; there for a key that the node did not say it knows. */
const manifestKey = z.object({
  kid: z.string(),
  jwk: z.record(z.string(), z.string()),
  until: z.iso.datetime().nullable(),
  proof: z.string().optional(),
});

/** Whom a node believes: the log, and the keys that sign manifests. */
export const nodeTrust = z.object({ origin: z.string(), vkey: z.string(), manifest_keys: z.array(manifestKey) });
export type NodeTrust = z.infer<typeof nodeTrust>;

/** Where a node finds its orders: `url` and `ca` (PEM) where the broker is reached over the network. */
const brokerAccess = z.object({
  queue: z.string(),
  receipts: z.string(),
  url: z.string().optional(),
  ca: z.string().optional(),
});
export type BrokerAccess = z.infer<typeof brokerAccess>;

export const joinAnswer = z.object({
  node_id: z.uuid(),
  credential: z.string(),
  heartbeat_interval_s: z.number(),
  config: nodeConfig,
  config_version: z.int(),
  trust: nodeTrust,
  /** Client certificate for the broker with its chain, PEM; there where the node asked for one. */
  certificate: z.string().optional(),
  broker: brokerAccess,
});
export type JoinAnswer = z.infer<typeof joinAnswer>;

const bootSeq = z.strictObject({ boot_id: z.uuid().toLowerCase(), seq: z.int().min(-1) });

/** An attempt that a node has and that has not ended. */
const heldAttempt = z.strictObject({ task_id: z.uuid(), attempt: z.int().min(1), is_started: z.boolean() });
export type HeldAttempt = z.infer<typeof heldAttempt>;

/** Body of `POST /api/v1/nodes/{id}/heartbeat`. */
export const heartbeat = z.strictObject({
  boot_id: z.uuid().toLowerCase(),
  status: z.enum(['active', 'terminating']),
  metrics: z.record(plainName, z.number()).refine((metrics) => Object.keys(metrics).length <= 64, 'at most 64 metrics'),
  slots,
  capabilities,
  /** `sha256` is over the lines `<task_id> <attempt> <0 or 1>\n`, 1 for a started one, in ascending order. */
  attempts: z.strictObject({
    count: z.int().min(0),
    sha256: z.string().length(64),
    list: z.array(heldAttempt).max(20_000).optional(),
  }),
  /** Last `seq` of this boot; -1 before the first receipt. */
  receipts_seq: z.int().min(-1),
  /** Earlier boots whose receipts still are in the spool, with their last `seq`. */
  spooled_boots: z.array(bootSeq).max(1000),
  config_version: z.int(),
  /** Thumbprints of the manifest keys that the node knows; others come with a proof. */
  manifest_kids: z.array(z.string().max(64)).max(1000).optional(),
  csr: certificateRequest.optional(),
});
export type Heartbeat = z.infer<typeof heartbeat>;

export const heartbeatAnswer = z.object({
  lease_until: z.iso.datetime(),
  /** Receipts of this boot up to this `seq` have arrived, without a gap; -1 for none. */
  receipts_through: z.int(),
  receipts_through_boots: z.array(bootSeq),
  list_attempts: z.boolean().optional(),
  cancel: z.array(z.object({ task_id: z.uuid(), attempt: z.int() })).optional(),
  config: nodeConfig.optional(),
  config_version: z.int(),
  trust: nodeTrust.optional(),
  /** The next credential; the present one is good until this one is used. */
  credential: z.string().optional(),
  certificate: z.string().optional(),
  /** The orchestrator's time, by which a node sees that its clock is off. */
  time: z.iso.datetime().optional(),
});
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>;
