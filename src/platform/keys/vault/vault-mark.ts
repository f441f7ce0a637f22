/** The audit log's high-water mark in the KV store, version 2, of Vault or OpenBao. */

import { AppError } from '../../../domain/error.ts';
import type { Mark, MarkValue } from '../../../domain/mark.ts';
import { sha256Hex } from '../../../proof/hash.ts';
import type { VaultClient } from './client.ts';
import { asUnavailable, isVaultFailure } from './failure.ts';
import { checkVaultName } from './name.ts';

export interface VaultMarkOptions {
  client: VaultClient;
  /** Mount of the KV store, version 2; `kv` where none is given. */
  mount?: string;
  /** Where in the store; `writ/marks` where none is given. */
  prefix?: string;
  /** Origin of the log. */
  origin: string;
}

/** One mark as it is kept; Vault counts the versions, and takes the next one only from who names the last. */
interface StoredMark {
  version: number;
  value: MarkValue;
}

/**
 * Makes the mark of the log `origin`; nothing is called yet. A write whose answer was lost fails `unavailable` and may
 * have been carried out: it is not repeated here, since the repetition would find the mark moved by itself. Whoever
 * writes reads the mark again before the next write, and compares what is there with the log.
 */
export function createVaultMark({ client, mount = 'kv', prefix = 'writ/marks', origin }: VaultMarkOptions): Mark {
  const path = [mount, 'data', ...prefix.split('/'), nameOf(origin)].map(checkVaultName).join('/');

  async function readStored(): Promise<StoredMark | undefined> {
    const answer = await client.read(path).catch(rethrow);
    return answer === undefined ? undefined : parse(answer, origin);
  }

  async function write(expected: MarkValue | undefined, next: MarkValue): Promise<void> {
    checkValue(next);
    const current = await readStored();
    if (current?.value.size !== expected?.size || current?.value.root !== expected?.root) throw movedError();
    if (current !== undefined && next.size < current.value.size) {
      throw new AppError('conflict', "The log's mark only moves up.", { reason: 'mark_shrinks' });
    }
    if (next.size === current?.value.size && next.root !== current.value.root) {
      throw new AppError('conflict', "The log's mark has another root for this size.", { reason: 'mark_forks' });
    }
    await put(current?.version ?? 0, next);
  }

  async function put(version: number, { root, size }: MarkValue): Promise<void> {
    const body = { options: { cas: version }, data: { log: origin, root, size } };
    let answer: unknown;
    try {
      answer = await client.write(path, body, { isRepeatable: false });
    } catch (error) {
      if (!isVaultFailure(error, 'refused')) throw asUnavailable(error);
      // Another version than the one named is refused as any invalid call is.
      if (((await readStored())?.version ?? 0) !== version) throw movedError();
      throw unavailable("Vault refuses to write the log's mark. Where it was deleted there, undelete it.", error);
    }
    // The first version of the store takes any write, and would hold two logs for one.
    if ((answer as { version?: unknown } | undefined)?.version !== version + 1) throw wrongStore();
  }

  return { read: async () => (await readStored())?.value, write };
}

/** What the origin is called in the store: readable, and by its hash never what another is called. */
function nameOf(origin: string): string {
  const readable = origin.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `${readable.slice(0, 60)}-${sha256Hex(origin)}`;
}

function parse(answer: unknown, origin: string): StoredMark {
  const { data, metadata } = answer as { data?: unknown; metadata?: { version?: unknown } | null };
  const version = metadata?.version;
  if (!Number.isSafeInteger(version) || (version as number) < 1) throw wrongStore();
  try {
    const { log, root, size } = data as Record<string, unknown>;
    const value = { size, root } as MarkValue;
    if (log !== origin) throw new Error('the mark of another log');
    checkValue(value);
    return { version: version as number, value };
  } catch (error) {
    throw new AppError(
      'unavailable',
      "The log's mark in Vault is damaged. Roll it back to the version before; until then nothing is signed.",
      { reason: 'mark_damaged' },
      error,
    );
  }
}

const base64Of32Bytes = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

function checkValue({ size, root }: MarkValue): void {
  if (!Number.isSafeInteger(size) || size < 0 || typeof root !== 'string' || !base64Of32Bytes.test(root)) {
    throw new AppError('invalid', 'A mark has a size and the base64 of a root hash.', { reason: 'mark_invalid' });
  }
}

function movedError(): AppError {
  return new AppError('conflict', "Somebody else has moved the log's mark.", { reason: 'mark_moved' });
}

function wrongStore(): AppError {
  return unavailable("What holds the log's mark in Vault is no KV store of version 2. Mount one, and name its mount.");
}

function unavailable(message: string, cause?: unknown): AppError {
  return new AppError('unavailable', message, { reason: 'mark_unavailable' }, cause);
}

function rethrow(error: unknown): never {
  throw asUnavailable(error);
}
