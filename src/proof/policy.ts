/** The auditor's policy (C2SP tlog-policy): whose checkpoints are believed, and which witnesses must have seen them. */

import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import {
  cosignatureType,
  noteSignatureType,
  parseVerifierKey,
  verifyNote,
  type SignedNote,
  type VerifierKey,
} from './note.ts';
import { ProofError, prove } from './proof-error.ts';
import { holdRule } from './rule.ts';

/** A group holds when at least `threshold` of its members do; a witness when it cosigned. */
type Member = { witness: VerifierKey } | { threshold: number; members: readonly string[] };

export interface Policy {
  logs: readonly VerifierKey[];
  witnesses: readonly VerifierKey[];
  members: ReadonlyMap<string, Member>;
  /** Name of the witness or group that must hold; `none` asks for nobody. */
  quorum: string;
}

/** So many lines of one kind are read, at most. */
const entriesMax = 256;

/** A first policy: one log, no witnesses. */
export function formatPolicy(logKey: string): string {
  return `log ${logKey}\nquorum none\n`;
}

/** Reads a policy. Refuses with `bad_policy` and the number of the line, or with `bad_verifier_key`. */
export function parsePolicy(text: string): Policy {
  // eslint-disable-next-line no-control-regex -- tab and line feed are the only control characters of a policy
  prove(!/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text), 'bad_policy', 'a policy holds control characters');
  const reading: PolicyReading = { logs: [], witnesses: [], members: new Map(), used: new Set() };
  for (const [i, line] of text.split('\n').entries()) {
    const words = line.split(/[ \t]+/).filter((word) => word !== '');
    if (words.length === 0 || words[0]?.startsWith('#') === true) continue;
    readLine(reading, words, `line ${(i + 1).toString()}`);
  }
  const { logs, witnesses, members, quorum } = reading;
  if (quorum === undefined) throw new ProofError('bad_policy', 'a policy has exactly one quorum line');
  return { logs, witnesses, members, quorum };
}

/** Whether the witnesses that cosigned are a quorum. */
export function isQuorum(policy: Policy, cosigners: readonly VerifierKey[]): boolean {
  return policy.quorum === 'none' || isWitnessed(policy, policy.quorum, cosigners);
}

/** A checkpoint whose log signature holds, and whether its witnesses are a quorum. */
export interface CheckedCheckpoint extends Checkpoint {
  signers: readonly VerifierKey[];
  isWitnessed: boolean;
}

/**
 * Checks a signed checkpoint by the keys of the policy and those that the log's own records made known. Answers
 * undefined where none of them signed it; refuses it for a known key's wrong signature (rule 24).
 */
export function checkCheckpoint(
  note: SignedNote,
  policy: Policy,
  logKeys: readonly VerifierKey[] = policy.logs,
): CheckedCheckpoint | undefined {
  const signers = verifyNote(note, [...logKeys, ...policy.witnesses]);
  const cosigners = signers.filter((key) => key.type === cosignatureType);
  const logSigners = signers.filter((key) => key.type === noteSignatureType);
  const checkpoint = parseCheckpoint(note.text);
  if (logSigners.length === 0) return undefined;
  holdRule(
    logSigners.every((key) => key.name === checkpoint.origin),
    24,
    'the name of the signing key is not the origin',
  );
  return { ...checkpoint, signers: logSigners, isWitnessed: isQuorum(policy, cosigners) };
}

interface PolicyReading {
  logs: VerifierKey[];
  witnesses: VerifierKey[];
  members: Map<string, Member>;
  /** Names that are members of a group already: each counts in one way only. */
  used: Set<string>;
  quorum?: string;
}

function readLine(reading: PolicyReading, words: readonly string[], where: string): void {
  const [kind, first = '', second = ''] = words;
  switch (kind) {
    case 'log':
      prove(words.length === 2 || words.length === 3, 'bad_policy', `${where}: log <vkey> [<url>]`);
      addKey(reading.logs, first, noteSignatureType, where);
      return;
    case 'witness': {
      prove(words.length === 3 || words.length === 4, 'bad_policy', `${where}: witness <name> <vkey> [<url>]`);
      const witness = addKey(reading.witnesses, second, cosignatureType, where);
      define(reading, first, { witness }, where);
      return;
    }
    case 'group':
      readGroup(reading, words, where);
      return;
    case 'quorum': {
      prove(words.length === 2 && reading.quorum === undefined, 'bad_policy', `${where}: one line quorum <name>`);
      prove(first === 'none' || reading.members.has(first), 'bad_policy', `${where}: no such witness or group before`);
      reading.quorum = first;
      return;
    }
    default:
      throw new ProofError('bad_policy', `${where}: neither log, witness, group nor quorum`);
  }
}

function readGroup(reading: PolicyReading, words: readonly string[], where: string): void {
  const [, name = '', count = '', ...members] = words;
  prove(members.length > 0, 'bad_policy', `${where}: group <name> all|any|<k> <name>...`);
  prove(count === 'all' || count === 'any' || /^[1-9][0-9]{0,3}$/.test(count), 'bad_policy', `${where}: not a count`);
  const threshold = count === 'all' ? members.length : count === 'any' ? 1 : Number(count);
  prove(threshold <= members.length, 'bad_policy', `${where}: more than the group has members`);
  for (const member of members) {
    prove(reading.members.has(member), 'bad_policy', `${where}: no such witness or group before`);
    prove(!reading.used.has(member), 'bad_policy', `${where}: a name is a member twice`);
    reading.used.add(member);
  }
  define(reading, name, { threshold, members }, where);
}

function define(reading: PolicyReading, name: string, member: Member, where: string): void {
  prove(name !== 'none' && !reading.members.has(name), 'bad_policy', `${where}: a name is defined twice`);
  prove(reading.members.size < entriesMax, 'bad_policy', `${where}: too many witnesses and groups`);
  reading.members.set(name, member);
}

function addKey(keys: VerifierKey[], text: string, type: number, where: string): VerifierKey {
  const key = parseVerifierKey(text);
  prove(key.type === type, 'bad_policy', `${where}: a key of another type`);
  prove(!keys.some(({ publicKey }) => publicKey.kid === key.publicKey.kid), 'bad_policy', `${where}: a key twice`);
  prove(keys.length < entriesMax, 'bad_policy', `${where}: too many keys`);
  keys.push(key);
  return key;
}

function isWitnessed(policy: Policy, name: string, cosigners: readonly VerifierKey[]): boolean {
  const member = policy.members.get(name);
  if (member === undefined) return false;
  if ('witness' in member) return cosigners.includes(member.witness);
  const count = member.members.filter((inner) => isWitnessed(policy, inner, cosigners)).length;
  return count >= member.threshold;
}
