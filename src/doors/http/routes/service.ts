/** Routes that need no credential: is it alive, is it ready, which keys does it sign with. */

import { sha256 } from '../../../proof/hash.ts';
import * as shapes from '../answer-schemas.ts';
import { route, type Reply, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

const keysMaxAgeS = 300;

export function serviceRoutes(services: HttpServices): Route[] {
  return [
    ...['/api/v1/health', '/health'].map((path) =>
      route({
        method: 'get',
        path,
        access: 'none',
        tag: 'service',
        summary: 'Whether the process is alive',
        answers: { 200: { description: 'It is', schema: shapes.health } },
        handle: () => Promise.resolve({ status: 200, body: { status: 'ok' } }),
      }),
    ),
    route({
      method: 'get',
      path: '/api/v1/ready',
      access: 'none',
      tag: 'service',
      summary: 'Whether the process can do its work, part by part',
      answers: {
        200: { description: 'It can', schema: shapes.readiness },
        503: { description: 'Some part cannot', schema: shapes.readiness },
      },
      handle: async () => {
        const readiness = await services.readiness();
        return { status: readiness.ready ? 200 : 503, body: readiness };
      },
    }),
    keysRoute(
      '/.well-known/jwks.json',
      'Public keys that sign manifests now',
      async () => (await services.jwks()).current,
    ),
    keysRoute(
      '/.well-known/jwks-archive.json',
      'Public keys that ever signed',
      async () => (await services.jwks()).archive,
    ),
  ];
}

function keysRoute(path: string, summary: string, read: () => Promise<object>): Route {
  return route({
    method: 'get',
    path,
    access: 'none',
    tag: 'service',
    summary,
    answers: { 200: { description: 'A JWK set (RFC 7517)', schema: shapes.jwkSet } },
    handle: async (): Promise<Reply> => {
      const body = Buffer.from(JSON.stringify(await read()));
      const etag = `"${sha256(body).toString('base64url').slice(0, 22)}"`;
      return {
        status: 200,
        body,
        headers: { 'Cache-Control': `public, max-age=${keysMaxAgeS.toString()}`, ETag: etag },
      };
    },
  });
}
