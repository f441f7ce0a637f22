/** The small members of a bundle, read and checked before its records. */

import { bundleMembers, parseBundleHeader, trustMember, type BundleHeader } from './bundle.ts';
import { readWhole, type BundleSource } from './bundle-source.ts';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { decodeText } from './lines.ts';
import { parseNote, parseVerifierKey, type SignedNote, type VerifierKey } from './note.ts';
import { checkCheckpoint, type Policy } from './policy.ts';
import { Contradiction, locate } from './report.ts';
import { holdRule } from './rule.ts';

const smallMaxBytes = 256 * 1024;

export interface BundleHead {
  header: BundleHeader;
  note: SignedNote;
  /** Of `note`; signed by a key of the policy unless `isDeferred`. */
  checkpoint: Checkpoint;
  /** No key of the policy signed it: a later key of the log may have, which the records must make believed. */
  isDeferred: boolean;
  /** Of log.vkey. */
  logKeys: VerifierKey[];
  hasTrust: boolean;
}

/** Reads `bundle.json`, `checkpoint` and `log.vkey`. Fails with a Contradiction where they contradict each other. */
export async function readBundleHead(source: BundleSource, policy: Policy): Promise<BundleHead> {
  const members = await checkMembers(source);
  const text = async (member: string): Promise<string> => decodeText(await readWhole(source, member, smallMaxBytes));
  const logKeys = await locating('log.vkey', async () => parseLogKeys(await text('log.vkey')));
  const signed = await locating('checkpoint', async () => {
    const note = parseNote(await text('checkpoint'));
    const checked = checkCheckpoint(note, policy);
    // Only a key that is none of the policy's could be a later key of the log.
    const isDeferrable = logKeys.some((key) => !isKeyOf(policy.logs, key));
    holdRule(checked !== undefined || isDeferrable, 24, 'signed by no key of the policy');
    return { note, checkpoint: checked ?? parseCheckpoint(note.text), isDeferred: checked === undefined };
  });
  const { checkpoint } = signed;
  const header = await locating('bundle.json', async () => {
    const read = parseBundleHeader(await text('bundle.json'));
    const place = { member: 'bundle.json', line: 1, rule: 26 };
    if (read.log !== checkpoint.origin) {
      throw new Contradiction({ ...place, expected: `the log ${checkpoint.origin}`, found: read.log });
    }
    if (read.size !== checkpoint.size) {
      const expected = `the size ${checkpoint.size.toString()} of the checkpoint`;
      throw new Contradiction({ ...place, expected, found: read.size.toString() });
    }
    return read;
  });
  await locating('log.vkey', () => {
    holdRule(
      logKeys.every((key) => key.name === header.log),
      26,
      'a key of another log',
    );
    return Promise.resolve();
  });
  const hasTrust = members.has(trustMember);
  await locating(trustMember, () => {
    holdRule(!hasTrust || header.from > 0, 30, 'a member that only a part of a log has');
    return Promise.resolve();
  });
  return { header, ...signed, logKeys, hasTrust };
}

/** Whether one of `keys` is this very key. */
export function isKeyOf(keys: readonly VerifierKey[], key: VerifierKey): boolean {
  return keys.some((known) => known.name === key.name && known.publicKey.kid === key.publicKey.kid);
}

async function checkMembers(source: BundleSource): Promise<ReadonlySet<string>> {
  return locating('the bundle', async () => {
    const names = await source.members();
    const members = new Set(names);
    holdRule(members.size === names.length, 30, 'a member that is there twice');
    for (const name of bundleMembers) holdRule(members.has(name), 30, `no member ${name}`);
    const known = new Set<string>([...bundleMembers, trustMember]);
    holdRule(
      names.every((name) => known.has(name)),
      30,
      'a member that no bundle has',
    );
    return members;
  });
}

function parseLogKeys(text: string): VerifierKey[] {
  holdRule(text.endsWith('\n'), 26, 'no line feed at the end');
  const keys = text.slice(0, -1).split('\n').map(parseVerifierKey);
  holdRule(new Set(keys.map((key) => key.publicKey.kid)).size === keys.length, 26, 'a key that is there twice');
  return keys;
}

async function locating<Result>(member: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    throw locate({ member }, error);
  }
}
