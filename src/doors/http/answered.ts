/** Tells of calls that ended, for the metrics: by which route, with what, after how long. */

import type { RequestHandler } from 'express';
import type { Clock } from '../../domain/clock.ts';
import type { Route } from './route.ts';
import { routerPath } from './router.ts';

/** A call that ended. All texts come from closed sets: callers choose among them and add none. */
export interface Answered {
  /** `OTHER` where no route takes it. */
  method: string;
  /** The path of the table, with parameters in braces; `none` where no route was found. */
  route: string;
  /** Of the answer; `aborted` where the caller went away before one. */
  status: string;
  seconds: number;
}

export type OnAnswered = (answered: Answered) => void;

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE']);

/** A middleware to stand before all others. */
export function tellAnswered(onAnswered: OnAnswered, routes: readonly Route[], clock: Clock): RequestHandler {
  const patterns = new Map<unknown, string>(routes.map(({ path }) => [routerPath(path), path]));
  return (request, response, next) => {
    const fromMs = clock.monotonicMs();
    response.once('close', () => {
      const { path } = (request as { route?: { path?: unknown } }).route ?? {};
      onAnswered({
        method: methods.has(request.method) ? request.method : 'OTHER',
        route: patterns.get(path) ?? 'none',
        status: response.headersSent ? response.statusCode.toString() : 'aborted',
        seconds: (clock.monotonicMs() - fromMs) / 1000,
      });
    });
    next();
  };
}
