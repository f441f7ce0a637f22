/** Cursors of lists: opaque to callers, checked when they come back. */

import { AppError } from '../domain/error.ts';
import { canonicalize, parseCanonical, type CanonicalValue } from '../proof/canonical-json.ts';
import { decodeBase64url, encodeBase64url } from '../proof/base64url.ts';

const textMaxLength = 512;

/** Where a list goes on, as callers hand it back. `list` names the list, so that one list's cursor is not another's. */
export function writeCursor(list: string, position: string | number): string {
  return encodeBase64url(Buffer.from(canonicalize({ list, after: position })));
}

/** The position in a cursor of this list; `isPosition` says whether it is one. Fails `invalid_cursor` for anything made up. */
export function readCursor<Position extends string | number>(
  list: string,
  text: string | undefined,
  isPosition: (value: unknown) => value is Position,
): Position | null {
  if (text === undefined) return null;
  const position = decode(text);
  if (position?.list !== list || !isPosition(position.after)) {
    throw new AppError('invalid', 'This cursor is not one of this list. Begin without a cursor.', {
      reason: 'invalid_cursor',
    });
  }
  return position.after;
}

function decode(text: string): { list?: unknown; after?: unknown } | undefined {
  if (text.length > textMaxLength) return undefined;
  try {
    const value: CanonicalValue = parseCanonical(Buffer.from(decodeBase64url(text)).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as { list?: unknown })
      : undefined;
  } catch {
    return undefined;
  }
}

/** One page of a list; `next_cursor` is null at its end. */
export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** Cuts a list that was read one item too long, and says where it goes on. */
export function pageOf<Item>(
  list: string,
  items: readonly Item[],
  limit: number,
  positionOf: (item: Item) => string | number,
): Page<Item> {
  const shown = items.slice(0, limit);
  const last = shown.at(-1);
  return continuedPage(list, shown, items.length > limit && last !== undefined ? positionOf(last) : null);
}

/** A page that is cut already, and the position at which the list goes on; null at its end. */
export function continuedPage<Item>(list: string, items: Item[], next: string | number | null): Page<Item> {
  return { items, next_cursor: next === null ? null : writeCursor(list, next) };
}
