/** Routes about the keys that sign manifests. */

import { z } from 'zod';
import { actorOf, authzOf } from '../../../aaa/accounting.ts';
import * as shapes from '../answer-schemas.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

/** A day at most: longer plans are made with the next call. */
const activateInMaxS = 86_400;

export function keyRoutes({ manifestKeys }: HttpServices): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v1/keys',
      access: 'keys:read',
      tag: 'access',
      summary: 'List the keys that sign manifests, in the order of their trust',
      answers: { 200: { description: 'Keys with their state', schema: shapes.keyList } },
      handle: async () => ({ status: 200, body: { keys: await manifestKeys.list() } }),
    }),
    route({
      method: 'post',
      path: '/api/v1/keys/rotate',
      access: 'keys:rotate',
      tag: 'access',
      summary: 'Trust a new version of the manifest key; it signs when nodes know it, and the old one is retired then',
      body: z.strictObject({ activate_in_s: z.number().min(0).max(activateInMaxS).optional() }),
      answers: { 202: { description: 'The new key, and from when it signs', schema: shapes.key } },
      handle: async ({ principal, body: { activate_in_s }, context }) => {
        const by = {
          actor: actorOf(principal),
          authz: authzOf(principal, 'keys:rotate'),
          request_id: context.requestId,
        };
        return { status: 202, body: await manifestKeys.rotate(by, activate_in_s) };
      },
    }),
  ];
}
