/** A small real HTTP server that answers as a test says, and keeps what it was asked. */

import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Of a request; `tasks` where it is a batch. */
export type AskedBody = Record<string, unknown> & { tasks?: { tool: string; source?: string }[] };

export interface Asked {
  method: string;
  /** Path with its query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: AskedBody | undefined;
}

export interface ScriptedAnswer {
  status?: number;
  body?: unknown;
  /** Sent as it is, in place of `body`. */
  raw?: string | Uint8Array;
  headers?: Record<string, string>;
  /** Ends the connection without an answer. */
  hangUp?: boolean;
}

export interface ScriptedServer {
  url: string;
  asked: Asked[];
  close(): Promise<void>;
}

/** `answer` is called for each request; `count` is how many came before to this method and path. */
export async function startScriptedServer(
  answer: (asked: Asked, count: number) => ScriptedAnswer | Promise<ScriptedAnswer>,
): Promise<ScriptedServer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString('utf8');
      const { method = '', url = '', headers } = request;
      const one: Asked = { method, url, headers, body: text === '' ? undefined : (JSON.parse(text) as AskedBody) };
      const path = url.split('?')[0];
      const count = asked.filter((before) => before.method === method && before.url.split('?')[0] === path).length;
      asked.push(one);
      const { status = 200, body, raw, headers: extra, hangUp } = await answer(one, count);
      if (hangUp === true) {
        request.socket.destroy();
        return;
      }
      const type = status >= 400 ? 'application/problem+json' : 'application/json';
      response.writeHead(status, { 'content-type': type, 'x-request-id': 'request-1', ...extra });
      response.end(raw ?? (body === undefined ? '' : JSON.stringify(body)));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port.toString()}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}

/** A problem as the API answers it. */
export function problem(status: number, code: string, detail = 'Something is wrong.'): ScriptedAnswer {
  return { status, body: { type: `/docs/errors#${code}`, title: 'x', status, code, detail } };
}

/** A task as the API answers it. */
export function taskBody(taskId: string, members: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    task_id: taskId,
    state: 'queued',
    reason: null,
    source: 'me',
    tool: 'noop',
    action: 'run',
    payload: {},
    required_role: 'operator',
    priority: 50,
    run_at: null,
    expires_at: null,
    timeout_s: 60,
    retry: { max_attempts: 3, initial_s: 1, max_s: 300 },
    affinity: null,
    constraints: {},
    tags: [],
    labels: {},
    traceparent: null,
    requested_by: 'me',
    effects: 'none',
    task_sha256: '0'.repeat(64),
    created_at: '2026-01-01T00:00:00.000Z',
    updated_at: '2026-01-01T00:00:00.000Z',
    attempt: 0,
    tries: 0,
    node_id: null,
    manifest_sha256: null,
    started_at: null,
    ended_at: null,
    ...members,
  };
}
