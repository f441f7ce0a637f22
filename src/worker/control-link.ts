/** A node's calls to its orchestrator: join and heartbeat, over HTTP. */

import { Agent as HttpAgent, request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { z } from 'zod';
import { AppError, type ErrorCode } from '../domain/error.ts';
import {
  heartbeatAnswer,
  joinAnswer,
  type Heartbeat,
  type HeartbeatAnswer,
  type JoinAnswer,
  type JoinRequest,
} from '../domain/node.ts';

const timeoutDefaultMs = 10_000;
const answerMaxBytes = 8 * 1024 * 1024;

export interface ControlLink {
  join(token: string, request: JoinRequest): Promise<JoinAnswer>;
  heartbeat(credential: string, nodeId: string, beat: Heartbeat): Promise<HeartbeatAnswer>;
}

export interface ControlLinkOptions {
  /** Authority of the orchestrator's certificate, PEM; the system's where it is absent. */
  ca?: string;
  /** For a whole call, however slowly its bytes come. Default 10 s. */
  timeoutMs?: number;
}

/** What an orchestrator answers where it refuses. */
const problem = z.object({ code: z.string().max(64), detail: z.string().max(2000) });

/**
 * Calls `url`, the orchestrator's base address. Fails `unavailable` where it does not answer, and where what answers is no
 * orchestrator: a node ends for what an orchestrator says, and for nothing that a proxy on the way does. Redirects are not followed.
 */
export function createControlLink(url: string, options: ControlLinkOptions = {}): ControlLink {
  const base = url.replace(/\/$/, '');
  const open = opener(base, options);
  return {
    join: (token, body) => call(open, `${base}/api/v1/nodes/register`, { token, body, form: joinAnswer }),
    heartbeat: (token, nodeId, body) =>
      call(open, `${base}/api/v1/nodes/${nodeId}/heartbeat`, { token, body, form: heartbeatAnswer }),
  };
}

type Open = (url: string, headers: Record<string, string | number>) => Outgoing;

interface Outgoing {
  request: ClientRequest;
  timeoutMs: number;
}

function opener(base: string, { ca, timeoutMs = timeoutDefaultMs }: ControlLinkOptions): Open {
  const method = 'POST';
  if (!base.startsWith('https:')) {
    const agent = new HttpAgent({ keepAlive: true });
    return (url, headers) => ({ request: requestHttp(url, { method, agent, headers }), timeoutMs });
  }
  const agent = new HttpsAgent({ keepAlive: true, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  return (url, headers) => ({ request: requestHttps(url, { method, agent, headers }), timeoutMs });
}

interface Call<Answer> {
  token: string;
  body: object;
  form: z.ZodType<Answer>;
}

async function call<Answer>(open: Open, url: string, { token, body, form }: Call<Answer>): Promise<Answer> {
  const bytes = Buffer.from(JSON.stringify(body));
  let status: number;
  let answer: unknown;
  try {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': bytes.length,
    };
    const response = await send(open(url, headers), bytes);
    status = response.statusCode ?? 0;
    answer = parse(await readAll(response));
  } catch (error) {
    throw new AppError('unavailable', `The orchestrator does not answer${reasonOf(error)}.`, unanswered, error);
  }
  if (status >= 200 && status < 300) {
    const parsed = form.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw notAnOrchestrator(status);
  }
  const parsed = problem.safeParse(answer);
  if (!parsed.success) throw notAnOrchestrator(status);
  throw new AppError(codeOf(status), parsed.data.detail, { reason: parsed.data.code });
}

const unanswered = { reason: 'orchestrator_unavailable' };

function notAnOrchestrator(status: number): AppError {
  const message = `What answers at the orchestrator's address is no orchestrator of this version (status ${status.toString()}).`;
  return new AppError('unavailable', message, unanswered);
}

function send({ request, timeoutMs }: Outgoing, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), timeoutMs);
    request.on('response', resolve);
    request.on('error', reject);
    // A connection may end without either: after 101 Switching Protocols it does.
    request.on('close', () => {
      clearTimeout(timer);
      reject(new Error('no answer'));
    });
    request.end(body);
  });
}

/** The text is not quoted: a proxy may show there what it was sent. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is no JSON');
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > answerMaxBytes) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The system's or TLS library's code: it names what to mend, and holds no secret. */
function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 409) return 'conflict';
  return status < 500 && status !== 429 ? 'invalid' : 'unavailable';
}
