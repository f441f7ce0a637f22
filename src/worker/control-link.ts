/** A node's calls to its orchestrator: join and heartbeat, over HTTP. */

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

const problem = z.object({ code: z.string(), detail: z.string() });

/** Calls `url`, the orchestrator's base address. Fails `unavailable` where it does not answer. */
export function createControlLink(url: string): ControlLink {
  return {
    join: async (token, request) => joinAnswer.parse(await call(`${url}/api/v1/nodes/register`, token, request)),
    heartbeat: async (credential, nodeId, beat) =>
      heartbeatAnswer.parse(await call(`${url}/api/v1/nodes/${nodeId}/heartbeat`, credential, beat)),
  };
}

async function call(url: string, token: string, body: object): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(callTimeoutMs),
    });
    const text = await response.text();
    if (text.length > answerMaxBytes) throw new Error('the answer is too long');
    const answer: unknown = JSON.parse(text);
    if (response.ok) return answer;
    const parsed = problem.safeParse(answer);
    throw new AppError(codeOf(response.status), parsed.data?.detail ?? 'The orchestrator refused.', {
      reason: parsed.data?.code ?? 'refused',
    });
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(
      'unavailable',
      'The orchestrator does not answer.',
      { reason: 'orchestrator_unavailable' },
      error,
    );
  }
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 409) return 'conflict';
  return status < 500 && status !== 429 ? 'invalid' : 'unavailable';
}
