/** Reads a count that was given as an option. */

import { AppError } from '../domain/error.ts';

/** A whole number from 1 on, or the default where none is given. Fails `invalid`. */
export function readCount(text: string | undefined, option: string, byDefault: number): number {
  if (text === undefined) return byDefault;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new AppError('invalid', `${option} takes a number from 1 on, not "${text}".`);
  return Number(text);
}
