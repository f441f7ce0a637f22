/** Writes down that a room forbade an act whose permission the caller holds. */

import { actorOf, authzOf } from '../../../aaa/accounting.ts';
import { AppError } from '../../../domain/error.ts';
import type { Permission } from '../../../domain/principal.ts';
import type { PrincipalCall } from '../route.ts';
import type { HttpServices } from '../services.ts';

/** For `catch`: records a `forbidden` outside of the transaction that it ended, and throws it on. */
export function recordRefusal(
  { aaa }: Pick<HttpServices, 'aaa'>,
  { principal, context }: PrincipalCall<unknown, unknown>,
  type: string,
  permission: Permission,
): (error: unknown) => Promise<never> {
  return async (error) => {
    if (error instanceof AppError && error.code === 'forbidden') {
      await aaa.denials.record({
        type,
        outcome: 'deny',
        reason: error.reason,
        actor: actorOf(principal),
        authz: authzOf(principal, permission),
        request_id: context.requestId,
      });
    }
    throw error;
  };
}
