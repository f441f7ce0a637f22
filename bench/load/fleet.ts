/** A process that stands for many nodes: they join, and report as nodes do. No orders reach them: they have no slots. */

import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Heartbeat, JoinAnswer } from '../../src/domain/node.ts';
import type { PublicJwk } from '../../src/domain/signer.ts';
import { createCertificateRequest } from '../../src/platform/keys/certificate-request.ts';
import { loadCatalog } from '../../src/tools/catalog.ts';
import { createControlLink, type ControlLink } from '../../src/worker/control-link.ts';
import { capabilitiesOf } from '../../src/worker/join.ts';
import { nowMs, serve } from '../peers/serve.mjs';

interface SimulatedNode {
  answer: JoinAnswer;
  bootId: string;
}

export interface FleetReport {
  /** Of each call that was answered, milliseconds. */
  callsMs: number[];
  /** Calls that nobody answered: the next one comes in its turn, as from a node. */
  failed: number;
}

const nodes: SimulatedNode[] = [];
const tools = fileURLToPath(new URL('../../tools', import.meta.url));
const capabilities = capabilitiesOf(await loadCatalog([tools]));
let link: ControlLink | undefined;

serve({ joinAll, beatFor });

/** One node after the other, each with a certificate for the broker, as `writ work` has it. */
async function joinAll({ url, tokens }: { url: string; tokens: string[] }): Promise<FleetReport> {
  link ??= createControlLink(url);
  const callsMs: number[] = [];
  for (const token of tokens) {
    const name = `simulated-${nodes.length + 1}`;
    const { csrPem } = await createCertificateRequest(name);
    const jwk = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }) as PublicJwk & { kty: 'OKP' };
    const request = {
      config: { listen_addr: '', capabilities },
      ...{ name, labels: {}, slots: 0, csr: csrPem },
      receipt_key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x },
    };
    const startedMs = nowMs();
    const answer = await link.join(token, request);
    callsMs.push(nowMs() - startedMs);
    nodes.push({ answer, bootId: randomUUID() });
  }
  return { callsMs, failed: 0 };
}

/** Every node reports each `everyS` seconds, spread evenly. */
async function beatFor({ seconds, everyS }: { seconds: number; everyS: number }): Promise<FleetReport> {
  const callsMs: number[] = [];
  const stepMs = (everyS * 1000) / nodes.length;
  const beats = Math.round((seconds / everyS) * nodes.length);
  const beganMs = nowMs();
  const calls: Promise<void>[] = [];
  let failed = 0;
  for (let n = 0; n < beats; n++) {
    const told = beat(nodes[n % nodes.length]!).then((ms) => void callsMs.push(ms));
    calls.push(told.catch(() => void (failed += 1)));
    await delay(Math.max(0, beganMs + (n + 1) * stepMs - nowMs()));
  }
  await Promise.all(calls);
  return { callsMs, failed };
}

async function beat(node: SimulatedNode): Promise<number> {
  const { answer, bootId } = node;
  const startedMs = nowMs();
  const next = await link!.heartbeat(answer.credential, answer.node_id, reportOf(answer, bootId));
  const tookMs = nowMs() - startedMs;
  node.answer = {
    ...answer,
    config_version: next.config_version,
    credential: next.credential ?? answer.credential,
    trust: next.trust ?? answer.trust,
  };
  return tookMs;
}

function reportOf(answer: JoinAnswer, bootId: string): Heartbeat {
  return {
    boot_id: bootId,
    status: 'active',
    metrics: { cpu: 0.1, memory: 0.5, load: 0.2, slots_used: 0, clock_offset_s: 0 },
    slots: 0,
    capabilities,
    attempts: { count: 0, sha256: createHash('sha256').digest('hex') },
    receipts_seq: -1,
    spooled_boots: [],
    config_version: answer.config_version,
    manifest_kids: answer.trust.manifest_keys.map(({ kid }) => kid),
  };
}
