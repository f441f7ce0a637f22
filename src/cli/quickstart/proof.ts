/** The proof part of the quickstart: export, verify, and verify a copy with one byte flipped. */

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { WritClient } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import type { VerifyReport } from '../../proof/report.ts';
import { verifyBundle } from '../audit-verify.ts';
import { writeBundle } from '../write-bundle.ts';

const checkpointTries = 150;
const checkpointPollMs = 100;

export interface ProofOutcome {
  bundleDir: string;
  tamperedDir: string;
  report: VerifyReport;
  tampered: VerifyReport;
  /** Record whose line was changed. */
  flippedSeq: number;
}

/**
 * Exports the log up to a checkpoint that covers `lastSeq`, verifies it by the policy, and shows that a copy in which one bit of
 * one record differs does not pass.
 */
export async function proveLog(
  client: WritClient,
  options: { dataDir: string; policyPath: string; lastSeq: number },
): Promise<ProofOutcome> {
  const folder = join(options.dataDir, 'quickstart');
  const bundleDir = join(folder, 'bundle');
  const tamperedDir = join(folder, 'bundle-tampered');
  for (const dir of [bundleDir, tamperedDir]) await rm(dir, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await untilCovered(client, options.lastSeq);
  await writeBundle(await client.exportBundle(), bundleDir, () => undefined);
  const report = await verifyBundle({ path: bundleDir, policyPath: options.policyPath });
  await cp(bundleDir, tamperedDir, { recursive: true });
  const flippedSeq = await flipBit(join(tamperedDir, 'records.jsonl'));
  const tampered = await verifyBundle({ path: tamperedDir, policyPath: options.policyPath });
  return { bundleDir, tamperedDir, report, tampered, flippedSeq };
}

async function untilCovered(client: WritClient, seq: number): Promise<void> {
  for (let i = 0; i < checkpointTries; i++) {
    const size = Number((await client.checkpoint().catch(() => '')).split('\n')[1] ?? '0');
    if (size > seq) return;
    await delay(checkpointPollMs);
  }
  throw new AppError('unavailable', 'No checkpoint covers the log yet.', { reason: 'not_checkpointed' });
}

/** Flips one bit in the middle of the file; answers the number of the line that it is in. */
async function flipBit(path: string): Promise<number> {
  const bytes = await readFile(path);
  let middle = Math.floor(bytes.length / 2);
  while (bytes[middle] === 0x0a) middle++;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await writeFile(path, bytes);
  return bytes.subarray(0, middle).reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0);
}
