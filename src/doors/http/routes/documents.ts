/** Routes that describe the API itself: for programs, for people, and every code of a failure. */

import { apiPage } from '../api-page.ts';
import { errorsPage } from '../errors-page.ts';
import { pagePolicy } from '../html.ts';
import { openApiOf } from '../openapi.ts';
import { route, type Reply, type Route } from '../route.ts';
import * as shapes from '../answer-schemas.ts';

/** Documents of a table, themselves a part of it. Each is made once, when it is first asked for. */
export function documentRoutes(described: readonly Route[], version: string): Route[] {
  const own: Route[] = [];
  const document = once(() => Promise.resolve(Buffer.from(JSON.stringify(openApiOf([...described, ...own], version)))));
  const api = once(() => Promise.resolve(apiPage(openApiOf([...described, ...own], version))));
  own.push(
    route({
      method: 'get',
      path: '/api/v1/openapi.json',
      access: 'none',
      tag: 'service',
      summary: 'The API as OpenAPI 3.1',
      answers: { 200: { description: 'This document', schema: shapes.anyObject } },
      handle: async () => ({
        status: 200,
        body: await document(),
        headers: { 'Cache-Control': 'public, max-age=300' },
      }),
    }),
    pageRoute('/docs', 'The API as a page', api),
    pageRoute('/docs/errors', 'Every code of a failure: what it means, whether to retry, what to do', once(errorsPage)),
  );
  return own;
}

function pageRoute(path: string, summary: string, read: () => Promise<Buffer>): Route {
  const contentType = 'text/html; charset=utf-8';
  return route({
    method: 'get',
    path,
    access: 'none',
    tag: 'service',
    summary,
    answers: { 200: { description: 'A page', contentType } },
    handle: async (): Promise<Reply> => ({
      status: 200,
      contentType,
      headers: { 'Content-Security-Policy': pagePolicy },
      body: await read(),
    }),
  });
}

/** Makes something at the first call; a failure is tried again at the next. */
function once(make: () => Promise<Buffer>): () => Promise<Buffer> {
  let made: Promise<Buffer> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
