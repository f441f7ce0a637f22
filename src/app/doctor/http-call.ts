/** One HTTP call, bounded in time and size, and its failures in words. */

import { once } from 'node:events';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { TLSSocket } from 'node:tls';

export interface HttpCall {
  url: string;
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  /** PEM; the system's authorities where it is absent. */
  ca?: string | undefined;
  /** False asks a server that is known by other means than its certificate. */
  verifyTls?: boolean;
}

export interface HttpAnswer {
  status: number;
  date: string | undefined;
  body: string;
  /** Of a TLS server, DER. */
  certificate: Buffer | undefined;
}

const callLimitMs = 5000;
const bodyMaxBytes = 4 * 1024 * 1024;

/** Redirects are not followed. Fails with a system's or TLS library's error: `callProblem` tells it in words. */
export async function callHttp({
  url,
  method = 'GET',
  headers = {},
  body,
  ca,
  verifyTls = true,
}: HttpCall): Promise<HttpAnswer> {
  const tls = { minVersion: 'TLSv1.2' as const, rejectUnauthorized: verifyTls, ...(ca === undefined ? {} : { ca }) };
  const options = { method, headers, agent: false };
  const request = url.startsWith('https:') ? requestHttps(url, { ...options, ...tls }) : requestHttp(url, options);
  const timer = setTimeout(() => request.destroy(systemError('ETIMEDOUT')), callLimitMs);
  try {
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const { raw } = (response.socket as Partial<TLSSocket>).getPeerCertificate?.() ?? {};
    const { statusCode: status = 0, headers: answered } = response;
    return { status, date: answered.date, body: await readBody(response), certificate: raw };
  } finally {
    clearTimeout(timer);
    request.on('error', () => undefined).destroy();
  }
}

/** What went wrong with a call: ends a sentence that begins with who was called. `setting` holds its authority. */
export function callProblem(error: unknown, { address, authority }: { address: string; authority: string }): string {
  const code = codeOf(error);
  const found = problems.find(([matches]) => matches.test(code));
  const words = found?.[1] ?? `cannot be reached at ${address} (${code === '' ? 'no reason is known' : code})`;
  return words.replace('ADDRESS', address).replace('AUTHORITY', authority);
}

const problems: readonly [RegExp, string][] = [
  [/ECONNREFUSED/, 'does not answer: nothing listens at ADDRESS'],
  [/ENOTFOUND|EAI_AGAIN/, 'cannot be found: the host in ADDRESS has no address'],
  [/ETIMEDOUT/, 'does not answer in time at ADDRESS'],
  [/ALTNAME_INVALID/, 'has a certificate for another name than the host in ADDRESS'],
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/, 'has a certificate that has expired or is not valid yet; compare the clocks'],
  [
    /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_SIGNATURE|CERT_UNTRUSTED|INVALID_CA/,
    'has a certificate of an authority that is not in AUTHORITY',
  ],
  [/WRONG_VERSION_NUMBER|EPROTO|PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, 'does not speak TLS 1.2 or newer at ADDRESS'],
  [/^HPE_/, 'does not speak HTTP at ADDRESS'],
  [/ECONNRESET|EPIPE/, 'ends the connection at ADDRESS before it has answered'],
  [/ERR_INVALID_URL|ERR_INVALID_PROTOCOL/, 'cannot be called: ADDRESS is no address'],
];

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyMaxBytes) throw systemError('HPE_BODY_TOO_LONG');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
