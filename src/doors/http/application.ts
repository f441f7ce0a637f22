/** The Express application: what happens to every request, in order. */

import express, { type Express, type Request, type Response } from 'express';
import helmet from 'helmet';
import { AppError } from '../../domain/error.ts';
import { tellAnswered, type OnAnswered } from './answered.ts';
import { callContext } from './bearer.ts';
import { errorHandler, type OnFailure } from './errors.ts';
import { RateLimiter, type RateLimits } from './rate-limit.ts';
import { assignRequestId } from './request-id.ts';
import type { Route } from './route.ts';
import { createRouter } from './router.ts';
import type { HttpServices } from './services.ts';

export interface ApplicationOptions {
  services: HttpServices;
  routes: readonly Route[];
  rateLimits: RateLimits;
  /** Addresses and networks whose `X-Forwarded-For` counts. */
  trustedProxies: readonly string[];
  /** Aborts when the door closes. */
  closing: AbortSignal;
  onFailure: OnFailure;
  /** Told of each call that ended; absent where nobody wants to know. */
  onAnswered?: OnAnswered | undefined;
}

export function createApplication(options: ApplicationOptions): Express {
  const { services, trustedProxies } = options;
  const limiter = new RateLimiter(options.rateLimits, services.clock);
  const application = express();
  const headers = securityHeaders();
  const admit = admitNetwork(services, limiter);
  application.disable('x-powered-by');
  application.disable('etag');
  application.set('query parser', false);
  application.set('trust proxy', trustedProxies.length === 0 ? false : [...trustedProxies]);
  if (options.onAnswered !== undefined) {
    application.use(tellAnswered(options.onAnswered, options.routes, services.clock));
  }
  application.use(async (request, response, next) => {
    assignRequestId(request, response);
    // Helmet works through its headers at once: it needs no turn of its own.
    headers(request, response, throwOn);
    await admit(request, response);
    next();
  });
  const { assertWritable } = services;
  application.use(
    createRouter(options.routes, { aaa: services.aaa, limiter, closing: options.closing, assertWritable }),
  );
  application.use(() => {
    throw new AppError('not_found', 'There is nothing at this path. The API is described at /docs.', {
      reason: 'no_such_path',
    });
  });
  application.use(errorHandler(options.onFailure));
  return application;
}

function securityHeaders(): ReturnType<typeof helmet> {
  return helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    // For the proxy or the operator to say, who knows that every door of this host name has a certificate.
    strictTransportSecurity: false,
  });
}

function throwOn(error?: unknown): void {
  if (error !== undefined) throw new AppError('internal', 'a header could not be set', {}, error);
}

/** Counts the call against its network; one that is over the limit is recorded and fails `rate_limited`. */
function admitNetwork({ aaa }: HttpServices, limiter: RateLimiter) {
  return async (request: Request, response: Response): Promise<void> => {
    const { ip, requestId } = callContext(request, response);
    try {
      await limiter.network(ip, response);
    } catch (error) {
      await aaa.denials.record({
        type: 'auth.deny',
        outcome: 'deny',
        reason: 'rate_limited',
        actor: { id: 'unknown', kind: 'unknown', ...(ip === null ? {} : { ip }) },
        request_id: requestId,
      });
      throw error;
    }
  };
}
