/** `fetch` over TLS that trusts one certificate authority of the caller's, which the built-in one has no setting for. */

import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';

/** What the client asks of a `fetch`. */
export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
  /** Redirects are never followed: the token would go along. */
  redirect: 'manual';
}

export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/** A `fetch` for https that accepts only certificates below `caCert` (PEM). Connections are kept alive. */
export function createHttpsFetch(caCert: string): Fetch {
  const agent = new Agent({ ca: caCert, keepAlive: true, minVersion: 'TLSv1.2' });
  return (url, init) =>
    new Promise((resolve, reject) => {
      const body = init.body === undefined ? undefined : Buffer.from(init.body);
      const length = body === undefined ? {} : { 'content-length': body.length.toString() };
      const { method, signal } = init;
      const call = request(url, { agent, method, signal, headers: { ...init.headers, ...length } }, (answer) => {
        const status = answer.statusCode ?? 0;
        const isEmpty = status === 204 || status === 304;
        if (isEmpty) answer.resume();
        const stream = isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
        resolve(new Response(stream, { status, headers: headersOf(answer.headers) }));
      });
      call.on('error', reject);
      call.end(body);
    });
}

function headersOf(raw: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    for (const one of [value ?? []].flat()) headers.append(name, one);
  }
  return headers;
}
