/** Walks lists page by page. */

import { AppError } from '../domain/error.ts';
import type { QueryValue, Sender } from './sender.ts';

/** Largest page that the API gives. */
const pageMax = 500;

export interface ListOptions {
  /** At most so many items; without it all. */
  limit?: number;
  signal?: AbortSignal;
}

/** Every item of a list, asked for page by page while the caller goes on. `noun` is the list's member in the answer. */
export async function* readPages<Item>(
  send: Sender,
  path: string,
  noun: string,
  query: Record<string, QueryValue>,
  options: ListOptions = {},
): AsyncGenerator<Item, void, undefined> {
  const { limit = Infinity, signal } = options;
  let cursor: string | undefined;
  let left = limit;
  while (left > 0) {
    const wanted = { ...query, limit: Math.min(left, pageMax), ...(cursor === undefined ? {} : { cursor }) };
    const call = { method: 'GET', path, query: wanted, ...(signal === undefined ? {} : { signal }) } as const;
    const page = await send(call, (response) => response.json() as Promise<Record<string, unknown>>);
    const items = page[noun] as Item[] | undefined;
    if (!Array.isArray(items)) throw new AppError('internal', `The answer to ${path} is not a list of ${noun}.`);
    yield* items.slice(0, left);
    left -= items.length;
    const next = page['next_cursor'];
    if (typeof next !== 'string' || next === cursor) return;
    cursor = next;
  }
}
