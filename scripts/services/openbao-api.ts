/** The calls of OpenBao's API that its service is made of. */
import { request } from 'node:https';

export interface OpenBaoApi {
  /** Answers `data` of the response, or all of it where there is none; fails with what OpenBao says. */
  call(method: 'GET' | 'PUT' | 'DELETE', path: string, options?: CallOptions): Promise<unknown>;
}

export interface CallOptions {
  token?: string;
  body?: object;
  /** Has the answer wrapped for so many seconds: what comes is the wrapping token. */
  wrapS?: number;
}

interface Answer {
  data?: unknown;
  wrap_info?: { token: string } | null;
  errors?: string[];
}

const TIME_LIMIT_MS = 10_000;

export function openBaoApi(url: string, caPem: string): OpenBaoApi {
  return {
    call: async (method, path, { token, body, wrapS } = {}) => {
      const headers = {
        ...(token === undefined ? {} : { 'x-vault-token': token }),
        ...(wrapS === undefined ? {} : { 'x-vault-wrap-ttl': `${wrapS}s` }),
      };
      const text = body === undefined ? undefined : JSON.stringify(body);
      const { status, answer } = await send(`${url}/v1/${path}`, { method, headers, ca: caPem }, text);
      if (status >= 400)
        throw new Error(`OpenBao answers ${method} ${path} with ${status}: ${answer.errors?.join('; ')}`);
      return answer.wrap_info?.token ?? answer.data ?? answer;
    },
  };
}

async function send(
  url: string,
  options: { method: string; headers: Record<string, string>; ca: string },
  body: string | undefined,
): Promise<{ status: number; answer: Answer }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ...options, agent: false, timeout: TIME_LIMIT_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, answer: text === '' ? {} : (JSON.parse(text) as Answer) });
      });
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error(`OpenBao does not answer ${url}`)));
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
