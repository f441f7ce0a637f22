/** Routes about who may do what: the caller, tokens, scopes. */

import { z } from 'zod';
import { readScopes, writeScope } from '../../../aaa/scope-store.ts';
import { createToken, readTokens, revoke, tokenRequest } from '../../../aaa/tokens.ts';
import { AppError } from '../../../domain/error.ts';
import { scope } from '../../../domain/scope.ts';
import { isUuid } from '../../../proof/ids.ts';
import { withIdempotency } from '../../../tasks/idempotent.ts';
import { pageOf, readCursor } from '../../../tasks/list-cursor.ts';
import * as shapes from '../answer-schemas.ts';
import { cursorParameter, limitParameter } from '../query.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';
import { recordRead } from './audit-records.ts';
import { recordRefusal } from './record-refusal.ts';
import { replyOf } from './submit-tasks.ts';

export function accessRoutes(services: HttpServices): Route[] {
  return [whoamiRoute(), ...tokenRoutes(services), ...scopeRoutes(services)];
}

function whoamiRoute(): Route {
  return route({
    method: 'get',
    path: '/api/v1/whoami',
    access: 'any',
    tag: 'access',
    summary: 'Who the caller is, and what they may do',
    answers: { 200: { description: 'The principal', schema: shapes.whoami } },
    handle: ({ principal }) => {
      const { id, kind, scope: bound, credential_id, expires_at } = principal;
      const roles = [...principal.roles].sort();
      const permissions = [...principal.permissions].sort();
      const body = {
        id,
        kind,
        roles,
        permissions,
        scope: bound,
        credential_id,
        expires_at: expires_at?.toISOString() ?? null,
      };
      return Promise.resolve({ status: 200, body });
    },
  });
}

function tokenRoutes(services: HttpServices): Route[] {
  const { database, audit, aaa, clock } = services;
  return [
    route({
      method: 'post',
      path: '/api/v1/tokens',
      access: 'tokens:create',
      tag: 'access',
      summary: 'Make a token; its text is shown this once',
      body: tokenRequest,
      isIdempotent: true,
      answers: { 201: { description: 'The token', schema: shapes.createdToken } },
      handle: async (call) => {
        const { principal, idempotency, body, context } = call;
        const answer = await withIdempotency(database, principal, idempotency, async (tx) => {
          const created = await createToken(tx, principal, body, { audit, clock, requestId: context.requestId });
          const location = `/api/v1/tokens/${created.token_id}`;
          // A stored answer is no place for a secret: whoever sends the call again makes another token.
          return { status: 201, location, body: created, stored: { ...created, token: null } };
        }).catch(recordRefusal(services, call, 'token.create', 'tokens:create'));
        aaa.forgetTokens();
        return replyOf(answer);
      },
    }),
    route({
      method: 'get',
      path: '/api/v1/tokens',
      access: 'tokens:read',
      tag: 'access',
      summary: 'List tokens, newest first, without their texts',
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      answers: { 200: { description: 'A page of tokens', schema: shapes.tokenList } },
      handle: async (call) => {
        const { limit, cursor } = call.query;
        const before = readCursor('tokens', cursor, isUuid);
        await recordRead(services, call, 'token.read', 'tokens:read', {});
        const page = pageOf('tokens', await readTokens(database, before, limit + 1), limit, ({ token_id }) => token_id);
        return { status: 200, body: { tokens: page.items, next_cursor: page.next_cursor } };
      },
    }),
    route({
      method: 'delete',
      path: '/api/v1/tokens/{token_id}',
      access: 'tokens:revoke',
      tag: 'access',
      summary: 'Revoke a token; acts everywhere within 5 s',
      params: { token_id: 'Id of a token' },
      answers: { 204: { description: 'It is revoked' } },
      handle: async ({ principal, params: { token_id = '' }, context }) => {
        if (!isUuid(token_id)) throw new AppError('not_found', 'There is no such token.');
        await database.transaction((tx) =>
          revoke(tx, principal, token_id, { audit, clock, requestId: context.requestId }),
        );
        aaa.forgetTokens();
        return { status: 204 };
      },
    }),
  ];
}

function scopeRoutes(services: HttpServices): Route[] {
  const { database, audit, scopes } = services;
  return [
    route({
      method: 'get',
      path: '/api/v1/scopes',
      access: 'scopes:read',
      tag: 'access',
      summary: 'List scopes',
      answers: { 200: { description: 'All scopes', schema: shapes.scopeList } },
      handle: async () => ({ status: 200, body: { scopes: [...(await readScopes(database)).values()] } }),
    }),
    route({
      method: 'put',
      path: '/api/v1/scopes/{name}',
      access: 'scopes:write',
      tag: 'access',
      summary: 'Make or replace a scope; acts everywhere within 5 s',
      params: { name: 'Name of a scope, the same as in the body' },
      body: scope,
      isIdempotent: true,
      answers: { 200: { description: 'The scope', schema: shapes.scopeMembers } },
      handle: async (call) => {
        const { principal, params, body, context, idempotency } = call;
        if (params['name'] !== body.name) throw otherName();
        const answer = await withIdempotency(database, principal, idempotency, async (tx) => {
          await writeScope(tx, principal, body, { audit, requestId: context.requestId });
          return { status: 200, location: null, body };
        }).catch(recordRefusal(services, call, 'scope.write', 'scopes:write'));
        scopes.forget();
        return replyOf(answer);
      },
    }),
  ];
}

function otherName(): AppError {
  return new AppError('invalid', 'The path and the body name different scopes.', {
    reason: 'invalid_body',
    errors: [{ path: 'name', message: 'must be the name in the path' }],
  });
}
