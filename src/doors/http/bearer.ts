/** Who calls: the bearer token of the Authorization header, and of nothing else (RFC 6750 §2.1, §5.3). */

import type { NextFunction, Request, RequestHandler, Response } from 'express';
import passport from 'passport';
import { Strategy } from 'passport-http-bearer';
import type { AAAServiceAdapter, CallContext } from '../../aaa/aaa-service-adapter.ts';
import { parseApiKey } from '../../aaa/api-key.ts';
import { AppError } from '../../domain/error.ts';
import type { Principal } from '../../domain/principal.ts';
import { requestIdOf } from './request-id.ts';
import type { RateLimiter } from './rate-limit.ts';
import { readBody } from './read-body.ts';
import { parseJson } from './json-body.ts';

const strategyName = 'bearer';
const header = /^Bearer ([\x21-\x7e]+)$/i;
/** Bodies of calls without a credential are looked into so far for a misplaced one. */
const peekMaxBytes = 64 * 1024;

export interface BearerOptions {
  aaa: AAAServiceAdapter;
  limiter: RateLimiter;
}

type Done = (error: unknown, principal?: Principal) => void;

const contexts = new WeakMap<object, CallContext>();

/** Who is known to call from where, for decisions and records; found once for each request. */
export function callContext(request: Request, response: Response): CallContext {
  const known = contexts.get(request);
  if (known !== undefined) return known;
  const ip = request.ip ?? null;
  const mapped = ip?.startsWith('::ffff:') === true ? ip.slice('::ffff:'.length) : ip;
  const context = { ip: mapped, requestId: requestIdOf(response) };
  contexts.set(request, context);
  return context;
}

/** Middlewares that leave the principal in `request.user`, or fail `unauthenticated` after it is recorded. */
export function authenticate(options: BearerOptions): RequestHandler[] {
  const { aaa, limiter } = options;
  const authenticator = new passport.Passport();
  authenticator.use(
    strategyName,
    new Strategy({ passReqToCallback: true }, (request: object, token: string, done: Done) => {
      const context = contexts.get(request) ?? { ip: null, requestId: '' };
      aaa.authenticate(token, context).then(
        (principal) => {
          limiter.succeeded(token);
          done(null, principal);
        },
        (error: unknown) => {
          noteFailure(error, context, limiter);
          done(error);
        },
      );
    }),
  );
  const byPassport = authenticator.authenticate(strategyName, {
    session: false,
    failWithError: true,
  }) as RequestHandler;
  return [
    async (request, response, next) => {
      await takeToken(request, callContext(request, response), options);
      next();
    },
    byPassport,
  ];
}

/** Middleware for credentials that a room checks itself: only takes the token. */
export function requireToken(options: BearerOptions): RequestHandler {
  return async (request: Request, response: Response, next: NextFunction) => {
    await takeToken(request, callContext(request, response), options);
    next();
  };
}

/** Counts a failure to authenticate against the network that it came from. */
export function noteFailure(error: unknown, { ip }: CallContext, limiter: RateLimiter): void {
  if (error instanceof AppError && error.code === 'unauthenticated') limiter.failed(ip);
}

/** The principal that the middlewares found. */
export function principalOf(request: Request): Principal | undefined {
  return request.user as Principal | undefined;
}

/** The token of a request that `takeToken` let pass. */
export function tokenOf(request: Request): string {
  return header.exec(request.headers.authorization ?? '')?.[1] ?? '';
}

/**
 * Runs before passport's strategy, which would take a token from query and body too. Two headers have two meanings: node keeps
 * the first, a proxy may have checked the second.
 */
async function takeToken(request: Request, context: CallContext, { aaa, limiter }: BearerOptions): Promise<void> {
  if (countAuthorization(request.rawHeaders) > 1) {
    return refuseMisplaced('The request has two Authorization headers.', context, aaa);
  }
  if (request.url.includes('?') && new URLSearchParams(request.url.split('?')[1]).has('access_token')) {
    return refuseMisplaced('A token in the URL ends up in logs.', context, aaa);
  }
  const token = tokenOf(request);
  // Guessing is slowed down where it can be told by the checksum: others at the same address are not locked out by it.
  if (parseApiKey(token) === undefined) limiter.checkDelay(context.ip, token);
  if (token !== '') return;
  if (await hasTokenInBody(request)) {
    return refuseMisplaced('A token does not belong into the body.', context, aaa);
  }
  await aaa.authenticate('', context).catch((error: unknown) => {
    noteFailure(error, context, limiter);
    throw error;
  });
}

/** A token in the wrong place may have leaked: that it came so is recorded. */
async function refuseMisplaced(what: string, { ip, requestId }: CallContext, aaa: AAAServiceAdapter): Promise<never> {
  await aaa.denials.record({
    type: 'auth.deny',
    outcome: 'deny',
    reason: 'token_misplaced',
    actor: { id: 'unknown', kind: 'unknown', ...(ip === null ? {} : { ip }) },
    request_id: requestId,
  });
  throw misplaced(what);
}

function countAuthorization(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 13 && name.toLowerCase() === 'authorization') count++;
  }
  return count;
}

async function hasTokenInBody(request: Request): Promise<boolean> {
  const length = Number(request.headers['content-length'] ?? 0);
  if (!(length > 0 && length <= peekMaxBytes)) return false;
  const body = await readBody(request, peekMaxBytes);
  if (/^application\/x-www-form-urlencoded/i.test(request.headers['content-type'] ?? '')) {
    return new URLSearchParams(body.toString('latin1')).has('access_token');
  }
  try {
    return hasTokenMember(parseJson(body));
  } catch {
    return false;
  }
}

/** Whether a body carries a token where RFC 6750 §2.2 once put it. */
export function hasTokenMember(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, 'access_token');
}

/** The failure of a call whose token stands in the wrong place; its text repeats nothing of the token. */
export function misplaced(what: string): AppError {
  return new AppError('invalid', `${what} Send it once, as "Authorization: Bearer <token>".`, {
    reason: 'token_misplaced',
  });
}
