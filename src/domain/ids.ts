/** Ids of Writ's things: branded text, made as UUIDv7 so that order of ids is order of creation. */

import { randomFillSync } from 'node:crypto';
import { V7Generator } from 'uuidv7';
import { uuidText } from '../proof/uuid.ts';

declare const brand: unique symbol;
type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type TaskId = Id<'task'>;
export type NodeId = Id<'node'>;
export type BootId = Id<'boot'>;
export type RecordId = Id<'record'>;
export type TokenId = Id<'token'>;
/** Id of a manifest or a receipt. */
export type Jti = Id<'jti'>;

/** Random numbers by the thousand: a call for each costs more than the id. */
class RandomNumbers {
  readonly #numbers = new Uint32Array(1024);
  #at = this.#numbers.length;

  nextUint32(): number {
    if (this.#at === this.#numbers.length) {
      randomFillSync(this.#numbers);
      this.#at = 0;
    }
    return this.#numbers[this.#at++] ?? 0;
  }
}

const generator = new V7Generator(new RandomNumbers());

/** A new id; ids made by one process ascend. */
export function newId<Kind extends TaskId | NodeId | BootId | RecordId | TokenId | Jti>(): Kind {
  return uuidText(generator.generate().bytes) as Kind;
}
