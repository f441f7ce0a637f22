/** Ids of Writ's things: branded text, made as UUIDv7 so that order of ids is order of creation. */

import { uuidv7 } from 'uuidv7';

declare const brand: unique symbol;
type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type TaskId = Id<'task'>;
export type NodeId = Id<'node'>;
export type BootId = Id<'boot'>;
export type RecordId = Id<'record'>;
export type TokenId = Id<'token'>;
/** Id of a manifest or a receipt. */
export type Jti = Id<'jti'>;

/** A new id; ids made by one process ascend. */
export function newId<Kind extends TaskId | NodeId | BootId | RecordId | TokenId | Jti>(): Kind {
  return uuidv7() as Kind;
}
