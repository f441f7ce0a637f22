/** Makes an Express router from the table of routes: for each call who, may they, what is asked, the answer. */

import { pipeline } from 'node:stream/promises';
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { actorOf } from '../../aaa/accounting.ts';
import { AppError } from '../../domain/error.ts';
import type { Permission, Principal } from '../../domain/principal.ts';
import { sha256 } from '../../proof/hash.ts';
import type { IdempotencyClaim } from '../../tasks/idempotent.ts';
import { fieldErrors } from '../../tasks/plan.ts';
import {
  authenticate,
  callContext,
  hasTokenMember,
  misplaced,
  noteFailure,
  principalOf,
  requireToken,
  tokenOf,
  type BearerOptions,
} from './bearer.ts';
import { parseJson } from './json-body.ts';
import { readQuery } from './query.ts';
import { checkJsonType, readBody } from './read-body.ts';
import type { Access, Call, Reply, Route } from './route.ts';

export interface RouterOptions extends BearerOptions {
  /** Fails where nothing may be changed now. */
  assertWritable: () => void;
  /** Aborts when the door closes. */
  closing: AbortSignal;
}

const noQuery = z.strictObject({});
const noBytes = Buffer.alloc(0);
const oneWriteMaxBytes = 64 * 1024;

/** The router of a table. A path that is known under another method answers 405, any other 404. */
export function createRouter(routes: readonly Route[], options: RouterOptions): Router {
  const router = Router({ strict: true, caseSensitive: true });
  const byPath = new Map<string, Route[]>();
  for (const one of routes) byPath.set(one.path, [...(byPath.get(one.path) ?? []), one]);
  const guards = { principal: authenticate(options), token: [requireToken(options)], none: [] };
  for (const [path, declared] of byPath) {
    const place = router.route(routerPath(path));
    for (const one of declared) place[one.method](...guards[guardOf(one.access)], serve(one, options));
    place.all(refuseMethod(declared.map(({ method }) => method.toUpperCase())));
  }
  return router;
}

/** A path of the table as Express writes it. */
export function routerPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

/** Which guard stands before a route. */
export function guardOf(access: Access): 'principal' | 'token' | 'none' {
  if (access === 'none') return 'none';
  return access === 'join_token' || access === 'node_credential' ? 'token' : 'principal';
}

function refuseMethod(methods: readonly string[]): RequestHandler {
  const allow = methods.includes('GET') ? [...methods, 'HEAD'] : [...methods];
  return (_request, response) => {
    response.setHeader('Allow', allow.join(', '));
    throw new AppError('invalid', `This path takes ${allow.join(', ')}.`, { reason: 'method_not_allowed' });
  };
}

function serve(route: Route, options: RouterOptions): RequestHandler {
  const isChange = route.method !== 'get' && route.isDryRun !== true;
  return async (request, response) => {
    const context = callContext(request, response);
    const principal = principalOf(request);
    if (principal !== undefined) {
      await permit(route, request, response, principal, options);
      if (isChange) options.assertWritable();
    }
    const query = readQuery(route.query ?? noQuery, request.url);
    const { bytes, value } = await takeBody(route, request);
    const call: Call<unknown, unknown> = {
      context,
      params: request.params as Record<string, string>,
      query,
      body: value,
      bytes,
      idempotency: route.isIdempotent === true ? claimOf(request, bytes) : undefined,
      ended: () => endOf(response, options.closing),
    };
    const given = principal === undefined ? { token: tokenOf(request) } : { principal };
    const reply = await route.handle(Object.assign(call, given)).catch((error: unknown) => {
      noteFailure(error, context, options.limiter);
      throw error;
    });
    await send(request, response, reply);
  };
}

function endOf(response: Response, closing: AbortSignal): AbortSignal {
  const ended = new AbortController();
  response.once('close', () => {
    ended.abort();
  });
  if (response.destroyed) ended.abort();
  return AbortSignal.any([ended.signal, closing]);
}

async function permit(
  route: Route,
  request: Request,
  response: Response,
  principal: Principal,
  { aaa, limiter }: RouterOptions,
): Promise<void> {
  const context = callContext(request, response);
  try {
    await limiter.credential(principal.credential_id, response);
  } catch (error) {
    const { requestId: request_id } = context;
    await aaa.denials.record({
      type: 'auth.deny',
      outcome: 'deny',
      reason: 'rate_limited',
      actor: actorOf(principal),
      request_id,
    });
    throw error;
  }
  if (route.access === 'any') return;
  await aaa.authorize(principal, route.access as Permission, context, targetOf(route, request));
}

/** What a call is about, as far as its path says so plainly. */
function targetOf(route: Route, request: Request): { kind: string; id: string } | undefined {
  for (const name of Object.keys(route.params ?? {})) {
    const id = request.params[name];
    if (typeof id === 'string' && /^[\w.-]{1,128}$/.test(id)) return { kind: name.replace(/_id$/, ''), id };
  }
  return undefined;
}

async function takeBody(route: Route, request: Request): Promise<{ bytes: Buffer; value: unknown }> {
  if (route.body === undefined) return { bytes: noBytes, value: undefined };
  const hasBody = request.headers['content-length'] !== '0' && hasBodyHeader(request);
  if (hasBody) checkJsonType(request);
  const bytes = hasBody ? await readBody(request) : noBytes;
  const value = bytes.length === 0 ? {} : parseJson(bytes);
  if (hasTokenMember(value)) throw misplaced('A token does not belong into the body.');
  if (route.checkedLater === true) return { bytes, value };
  const parsed = route.body.safeParse(value);
  if (parsed.success) return { bytes, value: parsed.data };
  throw new AppError('invalid', 'The body is not of the documented form.', {
    reason: 'invalid_body',
    errors: fieldErrors(parsed.error),
  });
}

function hasBodyHeader({ headers }: Request): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

const keyForm = /^[\x21-\x7e]{1,255}$/;

/** The claim covers method and path, so that one key is good for one request only. */
function claimOf(request: Request, bytes: Buffer): IdempotencyClaim | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !keyForm.test(key)) {
    throw new AppError('invalid', 'An Idempotency-Key has 1 to 255 visible ASCII characters.', {
      reason: 'invalid_idempotency_key',
    });
  }
  return { key, bodySha256: sha256(Buffer.concat([Buffer.from(`${request.method} ${request.path}\n`), bytes])) };
}

async function send(request: Request, response: Response, reply: Reply): Promise<void> {
  const headers = {
    'Content-Type': reply.contentType ?? 'application/json',
    'Cache-Control': 'no-store',
    ...reply.headers,
  };
  if (reply.headers?.['ETag'] !== undefined && request.headers['if-none-match'] === reply.headers['ETag']) {
    response.writeHead(304, reply.headers).end();
    return;
  }
  if (reply.stream !== undefined) {
    response.writeHead(reply.status, headers);
    await pipeline(reply.stream, response);
    return;
  }
  if (reply.body === undefined) {
    response.writeHead(reply.status, { 'Cache-Control': 'no-store', ...reply.headers }).end();
    return;
  }
  const body = Buffer.isBuffer(reply.body) ? reply.body : Buffer.from(JSON.stringify(reply.body));
  response.writeHead(reply.status, { ...headers, 'Content-Length': body.length });
  // Node joins head and body into one write where the body is text; latin1 carries any bytes as they are.
  if (body.length <= oneWriteMaxBytes) response.end(body.toString('latin1'), 'latin1');
  else response.end(body);
}
