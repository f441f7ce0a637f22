/** Writes that may be sent twice: the key, the change and the stored answer commit together. */

import type { Principal } from '../domain/principal.ts';
import { AppError } from '../domain/error.ts';
import type { Database, Transaction } from '../platform/postgres/pool.ts';
import { idempotencyConflict, type Answer } from './submit-commit.ts';
import { readAnswer } from './submit-sql.ts';

/** An Idempotency-Key and what the call asks: SHA-256 over method, path and body. */
export interface IdempotencyClaim {
  key: string;
  bodySha256: Buffer;
}

/** What a write answers. `stored` stands in place of `body` at replays, where an answer holds what is shown only once. */
export interface WorkAnswer {
  status: number;
  location: string | null;
  body: object;
  stored?: object;
}

/**
 * Runs `work` in one transaction. With a key, the first call's answer is kept with its change, and equal calls get it again; an
 * equal call at the same time waits for the first. A call that fails keeps nothing. Fails `conflict`: `idempotency_conflict` where
 * the key was used for something else.
 */
export async function withIdempotency(
  database: Database,
  principal: Principal,
  claim: IdempotencyClaim | undefined,
  work: (tx: Transaction) => Promise<WorkAnswer>,
): Promise<Answer> {
  return database.transaction(async (tx) => {
    if (claim === undefined) return answerOf(await work(tx));
    if (!(await claimKey(tx, principal.id, claim))) return replay(tx, principal.id, claim);
    const answer = await work(tx);
    await storeAnswer(tx, principal.id, claim, answer);
    return answerOf(answer);
  });
}

/** Waits for a call that is in progress under the same key; false where that one, or an earlier one, committed. */
async function claimKey(tx: Transaction, principal: string, { key, bodySha256 }: IdempotencyClaim): Promise<boolean> {
  const claimed = await tx.query({
    name: 'claim_idempotency_key',
    text: `insert into idempotency_keys (principal, key, body_sha256, status, location, answer)
           values ($1, $2, $3, 0, null, '') on conflict do nothing`,
    values: [principal, key, bodySha256],
  });
  return claimed.rowCount === 1;
}

/** Replaces the claim, which nobody else has seen: the service may not change a stored answer. */
async function storeAnswer(
  tx: Transaction,
  principal: string,
  { key, bodySha256 }: IdempotencyClaim,
  { status, location, body, stored }: WorkAnswer,
): Promise<void> {
  await tx.query({
    name: 'drop_idempotency_claim',
    text: 'delete from idempotency_keys where principal = $1 and key = $2',
    values: [principal, key],
  });
  await tx.query({
    name: 'store_idempotent_answer',
    text: `insert into idempotency_keys (principal, key, body_sha256, status, location, answer) values ($1, $2, $3, $4, $5, $6)`,
    values: [principal, key, bodySha256, status, location, Buffer.from(JSON.stringify(stored ?? body))],
  });
}

async function replay(tx: Transaction, principal: string, { key, bodySha256 }: IdempotencyClaim): Promise<Answer> {
  const stored = await readAnswer(tx, principal, key);
  if (stored === undefined) {
    throw new AppError('conflict', 'A call with this Idempotency-Key is in progress.', {
      reason: 'idempotency_in_progress',
      retryAfterS: 1,
    });
  }
  if (!stored.body_sha256.equals(bodySha256)) throw idempotencyConflict();
  return { status: stored.status, location: stored.location, body: stored.answer, replayed: true };
}

function answerOf({ status, location, body }: WorkAnswer): Answer {
  return { status, location, body: Buffer.from(JSON.stringify(body)), replayed: false };
}
