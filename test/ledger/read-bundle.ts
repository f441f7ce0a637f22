/** Exports as the verifiers read them: members in memory, and folders on disk. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BundleExport } from '../../src/ledger/export.ts';
import { formatPolicy, parsePolicy } from '../../src/proof/policy.ts';
import type { VerifyReport } from '../../src/proof/report.ts';
import { verifyBundle } from '../../src/proof/verify.ts';
import { memorySource } from '../proof/memory-source.ts';

export type BundleMembers = Map<string, Buffer>;

/** All members of a bundle, by name. */
export async function readBundle(bundle: BundleExport): Promise<BundleMembers> {
  const members: BundleMembers = new Map();
  for (const member of bundle.members) members.set(member, await readAll(bundle.open(member)));
  return members;
}

export async function readAll(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** Lines of a `.jsonl` member, parsed. */
export function linesOf<Line>(members: BundleMembers, member: string): Line[] {
  const text = members.get(member)?.toString('utf8') ?? '';
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

/** What the verifier says by a policy that names this key. */
export function verifyMembers(members: BundleMembers, vkey: string): Promise<VerifyReport> {
  return verifyBundle(memorySource(members), { policy: parsePolicy(formatPolicy(vkey)) });
}

/** Exit status of the second verifier, with what it printed. */
export async function verifyBySecond(
  members: BundleMembers,
  vkey: string,
): Promise<{ status: number | null; text: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bundle-'));
  try {
    const policy = `${folder}.policy`;
    await writeFile(policy, formatPolicy(vkey));
    for (const [name, bytes] of members) await writeFile(join(folder, name), bytes);
    const script = fileURLToPath(new URL('../verify_bundle.py', import.meta.url));
    const { status, stdout, stderr } = spawnSync('python3', [script, folder, policy], { encoding: 'utf8' });
    await rm(policy);
    return { status, text: `${stdout}${stderr}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
