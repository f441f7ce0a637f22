/** `writ audit …`: taking the log out of the server, and verifying it without one. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { WritClient } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import { addCommand, addGroup, type Invocation, type Session } from '../command.ts';
import type { ExitCode } from '../exit-code.ts';
import { startProgress } from '../progress.ts';
import { terminalText } from '../terminal-text.ts';

interface ExportOptions {
  out: string;
  from?: string;
  to?: string;
}

interface VerifyOptions {
  policy: string;
  state?: string;
  allowPruned?: boolean;
}

export function addAuditCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'audit', 'export the audit log, and verify it without the server');
  addCommand<ExportOptions>(group, session, {
    usage: 'export',
    summary: 'write a bundle of the audit log',
    connects: true,
    examples: ['writ audit export --out bundle', 'writ audit export --out may.tar.gz --from 120000 --to 180000'],
    options: (command) =>
      command
        .requiredOption('--out <path>', 'a new directory, or a name that ends in .tar, .tar.gz or .tgz')
        .option('--from <seq>', 'first record (default 0)')
        .option('--to <seq>', 'a record that must be in it (default the last)'),
    run: exportBundle,
  });
  addCommand<VerifyOptions>(group, session, {
    usage: 'verify <bundle>',
    summary: 'verify a bundle by a policy, without a server, a database or a network',
    examples: [
      'writ audit verify bundle --policy audit.policy',
      'writ audit verify may.tar.gz --policy audit.policy --state audit.state --json',
    ],
    options: (command) =>
      command
        .requiredOption('--policy <file>', 'whose signatures count; "writ audit policy" fetches a first one')
        .option('--state <file>', 'what was verified before: made at first, then compared and moved on')
        .option('--allow-pruned', 'evidence that was pruned by a record is no fault'),
    run: verify,
  });
  addCommand<{ out?: string }>(group, session, {
    usage: 'policy',
    summary: 'fetch a first policy: the key of the log; compare its fingerprint by another way before you trust it',
    connects: true,
    examples: ['writ audit policy --out audit.policy', 'writ audit policy --json'],
    options: (command) => command.option('--out <file>', 'write it to a new file, not to stdout'),
    run: fetchPolicy,
  });
}

async function exportBundle({ options, connect, screen }: Invocation<ExportOptions>): Promise<ExitCode | undefined> {
  const range = { ...readSeq(options.from, 'from'), ...readSeq(options.to, 'to') };
  const { writeBundle } = await import('../write-bundle.ts');
  const client = await connect();
  const progress = await startProgress(screen, 'bytes', 0);
  let bytes = 0;
  try {
    const tar = await client.exportBundle(range);
    await writeBundle(tar, options.out, (done) => {
      bytes = done;
      progress.update(done, done);
    });
  } finally {
    progress.stop();
  }
  if (screen.json) await screen.value({ out: options.out, bytes });
  else {
    const place = terminalText(options.out);
    await screen.lines([place]);
    screen.note(`${bytes.toString()} bytes; check it with "writ audit verify ${place} --policy FILE"`);
  }
  return undefined;
}

async function verify({ args: [path], options, screen }: Invocation<VerifyOptions>): Promise<ExitCode> {
  const { verifyBundle, formatReport } = await import('../audit-verify.ts');
  const progress = await startProgress(screen, 'records', 0);
  try {
    const report = await verifyBundle({
      path: path as string,
      policyPath: options.policy,
      statePath: options.state,
      allowPruned: options.allowPruned,
      onProgress: progress.update,
    });
    progress.stop();
    if (screen.json) await screen.value(report);
    else await screen.lines(formatReport(report).trimEnd().split('\n'));
    return report.exit_code;
  } finally {
    progress.stop();
  }
}

async function fetchPolicy({ options, connect, screen }: Invocation<{ out?: string }>): Promise<ExitCode | undefined> {
  const { parseVerifierKey } = await import('../../proof/note.ts');
  const lines = await fetchLogKeys(await connect());
  const keys = lines.map((line) => {
    const { name, keyId, publicKey } = parseVerifierKey(line);
    return { name, key_id: keyId, thumbprint: publicKey.kid };
  });
  const policy = `${lines.map((line) => `log ${line}\n`).join('')}quorum none\n`;
  if (options.out !== undefined) await writeNew(options.out, policy);
  if (screen.json) {
    await screen.value({ policy, keys });
    return undefined;
  }
  if (options.out === undefined) await screen.lines(policy.trimEnd().split('\n').map(terminalText));
  for (const { name, key_id, thumbprint } of keys) {
    screen.note(terminalText(`log ${name}, key id ${key_id}, fingerprint (RFC 7638 thumbprint) ${thumbprint}`));
  }
  screen.note('Compare the fingerprint by another way: whoever gave this file could have made it up.');
  return undefined;
}

/** The verifier keys that a bundle of the last record carries. */
async function fetchLogKeys(client: WritClient): Promise<string[]> {
  const { createWriteStream } = await import('node:fs');
  const { readMember } = await import('../write-bundle.ts');
  const size = Number((await client.checkpoint()).split('\n')[1]);
  const folder = await mkdtemp(join(tmpdir(), 'writ-'));
  try {
    const file = join(folder, 'last.tar');
    const from = Number.isSafeInteger(size) && size > 0 ? { from: size - 1 } : {};
    await pipeline(await client.exportBundle(from), createWriteStream(file));
    const text = await readMember(file, 'log.vkey', 64 * 1024);
    return text.split('\n').filter((line) => line !== '');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const said =
      code === 'EEXIST' ? 'is there already: an anchor of trust is not written over' : `cannot be written (${code})`;
    throw new AppError('invalid', `${file} ${said}.`, {}, error);
  }
}

function readSeq(text: string | undefined, name: 'from' | 'to'): { from?: number; to?: number } {
  if (text === undefined) return {};
  if (!/^\d{1,15}$/.test(text)) throw new AppError('invalid', `--${name} takes the number of a record, not "${text}".`);
  return { [name]: Number(text) };
}
