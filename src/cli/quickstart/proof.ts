/** The proof part of the quickstart: export, verify, and verify a copy with one byte flipped. */

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { verifyBundle } from '../../cli/audit-verify.ts';
import { exportBundle } from '../../ledger/export.ts';
import { readHead, readLastCheckpoint } from '../../ledger/log-sql.ts';
import type { VerifyReport } from '../../proof/report.ts';
import type { Dev } from '../../app/dev.ts';
import { writeBundle } from './write-bundle.ts';

const checkpointWaitMs = 15_000;

export interface ProofOutcome {
  bundleDir: string;
  tamperedDir: string;
  report: VerifyReport;
  tampered: VerifyReport;
  /** Record whose line was changed. */
  flippedSeq: number;
}

/** Exports the log as it stands now, verifies it, and shows that a change does not pass. */
export async function proveLog(dev: Dev, context: { origin: string; vkey: string }): Promise<ProofOutcome> {
  const folder = join(dev.dataDir, 'quickstart');
  const bundleDir = join(folder, 'bundle');
  const tamperedDir = join(folder, 'bundle-tampered');
  await rm(bundleDir, { recursive: true, force: true });
  await rm(tamperedDir, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await untilCovered(dev);
  await writeBundle(await exportBundle(dev.database, {}, context), bundleDir);
  const report = await verifyBundle({ path: bundleDir, policyPath: dev.policyPath });
  await cp(bundleDir, tamperedDir, { recursive: true });
  const flippedSeq = await flipByte(join(tamperedDir, 'records.jsonl'));
  const tampered = await verifyBundle({ path: tamperedDir, policyPath: dev.policyPath });
  return { bundleDir, tamperedDir, report, tampered, flippedSeq };
}

/** Waits until a checkpoint covers every record that is there now. */
async function untilCovered(dev: Dev): Promise<void> {
  const size = (await readHead(dev.database))?.size ?? 0;
  const untilMs = Date.now() + checkpointWaitMs;
  while (((await readLastCheckpoint(dev.database))?.size ?? 0) < size) {
    if (Date.now() > untilMs) throw new Error('no checkpoint covers the log yet');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Flips one bit in the middle record; answers its number. */
async function flipByte(path: string): Promise<number> {
  const bytes = await readFile(path);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await writeFile(path, bytes);
  let seq = 0;
  for (let at = bytes.indexOf(10); at !== -1 && at < middle; at = bytes.indexOf(10, at + 1)) seq++;
  return seq;
}
