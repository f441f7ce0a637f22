/** How a log or a bundle that breaks one rule is made, and what a verifier must say of it. */

import { canonicalize, type CanonicalValue } from '../../src/proof/canonical-json.ts';
import { buildGoodLog } from './build-bundle.ts';
import { p256Key, type TestKey } from './keys.ts';
import { LogBuilder, origin, type Members, type TestNode } from './log-builder.ts';

export interface Case {
  name: string;
  exitCode: 0 | 1 | 2;
  /** Number of the rule that is broken, or what is absent. */
  rule?: number;
  absence?: string;
  /** The record or member that is to be named. */
  seq?: 'last';
  member?: string;
  build: () => Promise<{ members: Members; policy: string }>;
}

interface Setting {
  log: LogBuilder;
  key: TestKey;
  node: TestNode;
  other: TestNode;
}

/** A log with a manifest key and two nodes; `play` writes what is wrong, and the last record of it is named. */
export function wrongLog(name: string, rule: number, play: (setting: Setting) => void): Case {
  return { name, exitCode: 1, rule, seq: 'last', build: () => played(play) };
}

export function absentLog(
  name: string,
  exitCode: 0 | 2,
  absence: string | undefined,
  play: (setting: Setting) => void,
): Case {
  return { name, exitCode, ...(absence === undefined ? {} : { absence }), build: () => played(play) };
}

export async function played(play: (setting: Setting) => void): Promise<{ members: Members; policy: string }> {
  const log = new LogBuilder();
  const key = p256Key(7);
  log.trustKey(key, 'manifest');
  const setting = { log, key, node: log.addNode(0), other: log.addNode(1) };
  play(setting);
  log.checkpoint();
  return { members: await log.bundle(), policy: log.policy };
}

/** A good bundle with one member changed. */
export function wrongMember(
  name: string,
  rule: number,
  member: string,
  edit: (text: string) => string,
  from = 0,
): Case {
  return {
    name,
    exitCode: 1,
    rule,
    member,
    build: async () => {
      const { log } = buildGoodLog();
      const members = await log.bundle(from);
      members.set(member, Buffer.from(edit((members.get(member) ?? '').toString())));
      return { members, policy: log.policy };
    },
  };
}

/** Appends a record without the checks that the ledger makes. */
export function appendRaw(log: LogBuilder, members: Record<string, CanonicalValue>): void {
  const base = {
    v: 1,
    log: origin,
    seq: log.size,
    prev: log.prev,
    ts: log.ts,
    id: log.uuid(),
    type: 'test.raw',
    outcome: 'success',
  };
  log.appendLine(canonicalize({ ...base, ...members }));
}

export function editLine(
  text: string,
  number: number,
  edit: (line: Record<string, CanonicalValue>) => CanonicalValue,
): string {
  const lines = text.split('\n');
  lines[number] = canonicalize(edit(JSON.parse(lines[number] ?? '') as Record<string, CanonicalValue>));
  return lines.join('\n');
}
