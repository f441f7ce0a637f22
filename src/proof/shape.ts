/** Checks of plain objects inside signed text: exactly the members that are listed, each of its form. */

import { ProofError, prove } from './proof-error.ts';

/** A check of one member; the text says what it should be. */
export interface MemberCheck {
  holds: (value: unknown) => boolean;
  expected: string;
  /** May be absent; without it the member must be there. */
  optional?: boolean;
}

/** Refuses with `bad_payload` anything but an object with exactly the members of the table. */
export function checkShape(value: unknown, table: Readonly<Record<string, MemberCheck>>, where: string): void {
  prove(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    'bad_payload',
    `${where} is not an object`,
  );
  const members = value as Record<string, unknown>;
  for (const name in members) {
    if (!Object.hasOwn(table, name)) throw new ProofError('bad_payload', `${where} has a member that is not listed`);
  }
  for (const name in table) {
    const check = table[name];
    const member = members[name];
    if (check === undefined || (member === undefined && check.optional === true)) continue;
    if (member !== undefined && check.holds(member)) continue;
    throw new ProofError('bad_payload', `${where}.${name} is not ${check.expected}`);
  }
}

export function isCount(value: unknown, min = 0): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min;
}

/** An attempt number: from 1, in 31 bits. */
export function isAttempt(value: unknown): value is number {
  return isCount(value, 1) && value <= 0x7fff_ffff;
}

export function isText(value: unknown, lengthMax: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= lengthMax;
}
