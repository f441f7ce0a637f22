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

const callTimeoutMs = 10_000;
const answerMaxBytes = 8 * 1024 * 1024;

export interface ControlLink {
  join(token: string, request: JoinRequest): Promise<JoinAnswer>;
  heartbeat(credential: string, nodeId: string, beat: Heartbeat): Promise<HeartbeatAnswer>;
}

export interface ControlLinkOptions {
  /** Authority of the orchestrator's certificate, PEM; the system's where it is absent. */
  ca?: string;
}

const problem = z.object({ code: z.string(), detail: z.string() });

/** Calls `url`, the orchestrator's base address. Fails `unavailable` where it does not answer. Redirects are not followed. */
export function createControlLink(url: string, { ca }: ControlLinkOptions = {}): ControlLink {
  const base = url.replace(/\/$/, '');
  const open = opener(base, ca);
  return {
    join: async (token, body) => joinAnswer.parse(await call(open, `${base}/api/v1/nodes/register`, token, body)),
    heartbeat: async (credential, nodeId, beat) =>
      heartbeatAnswer.parse(await call(open, `${base}/api/v1/nodes/${nodeId}/heartbeat`, credential, beat)),
  };
}

type Open = (url: string, headers: Record<string, string | number>) => ClientRequest;

function opener(base: string, ca: string | undefined): Open {
  const options = { method: 'POST', timeout: callTimeoutMs };
  if (!base.startsWith('https:')) {
    const agent = new HttpAgent({ keepAlive: true });
    return (url, headers) => requestHttp(url, { ...options, agent, headers });
  }
  const agent = new HttpsAgent({ keepAlive: true, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  return (url, headers) => requestHttps(url, { ...options, agent, headers });
}

async function call(open: Open, url: string, token: string, body: object): Promise<unknown> {
  const bytes = Buffer.from(JSON.stringify(body));
  let status: number;
  let answer: unknown;
  try {
    const response = await send(
      open(url, {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': bytes.length,
      }),
      bytes,
    );
    status = response.statusCode ?? 0;
    answer = JSON.parse(await readAll(response));
  } catch (error) {
    throw new AppError('unavailable', `The orchestrator does not answer${reasonOf(error)}.`, unanswered, error);
  }
  if (status >= 200 && status < 300) return answer;
  const parsed = problem.safeParse(answer);
  throw new AppError(codeOf(status), parsed.data?.detail ?? 'The orchestrator refused.', {
    reason: parsed.data?.code ?? 'refused',
  });
}

const unanswered = { reason: 'orchestrator_unavailable' };

function send(request: ClientRequest, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // A whole call gets that long, however slowly its bytes come.
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), callTimeoutMs);
    request.on('response', (response) => {
      response.on('close', () => {
        clearTimeout(timer);
      });
      resolve(response);
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    request.end(body);
  });
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
