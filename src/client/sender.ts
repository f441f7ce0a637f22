/** Sends one call: address, credential, deadline, and the retries that cannot do a thing twice. */

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError } from '../domain/error.ts';
import { refusalOf, WritApiError, WritUnreachableError } from './client-error.ts';
import { createHttpsFetch, type Fetch } from './https-fetch.ts';

/** Bounds of the retries. The delay before try n is random, up to `initialMs` doubled n times. */
export interface RetryLimits {
  maxTries: number;
  initialMs: number;
  maxMs: number;
  /** A server that asks for a longer pause than this is not waited for. */
  retryAfterMaxS: number;
}

export interface SenderOptions {
  /** Address of the server, `http://` or `https://`, with the path that a proxy puts before, if any. */
  url: string;
  /** API key; without it only the public calls work. */
  token?: string;
  /** PEM of the authority that signed the server's certificate, where the system does not trust it. */
  caCert?: string;
  /** Another `fetch` than the built-in one. */
  fetch?: Fetch;
  retry?: Partial<RetryLimits>;
  /** How long one try may take, beyond what the call itself asks the server to wait. */
  timeoutS?: number;
}

export type QueryValue = string | number | boolean | undefined;

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** From `/api/v1/…` on, its parts already encoded. */
  path: string;
  query?: Record<string, QueryValue>;
  body?: unknown;
  /** A write without one gets a random one, so that it can be retried. */
  idempotencyKey?: string;
  /** A POST that changes nothing. */
  isRead?: boolean;
  /** What the server is asked to wait, seconds. */
  waitS?: number;
  signal?: AbortSignal;
  /** Statuses beside 2xx whose body is an answer. */
  accepts?: readonly number[];
}

/** Sends a call and reads its answer; fails with WritApiError or WritUnreachableError. */
export type Sender = <Result>(call: Call, read: (response: Response) => Promise<Result>) => Promise<Result>;

const defaultRetry: RetryLimits = { maxTries: 4, initialMs: 100, maxMs: 5000, retryAfterMaxS: 30 };

export function createSender(options: SenderOptions): Sender {
  const base = checkUrl(options.url);
  const { caCert } = options;
  const own = caCert === undefined || !base.startsWith('https:') ? undefined : createHttpsFetch(caCert);
  const fetch = options.fetch ?? own ?? globalThis.fetch;
  const limits = { ...defaultRetry, ...options.retry };
  const timeoutMs = (options.timeoutS ?? 30) * 1000;

  return async (call, read) => {
    const headers = headersOf(call, options.token);
    const url = `${base}${call.path}${queryText(call.query)}`;
    for (let tries = 1; ; tries += 1) {
      try {
        return await sendOnce(fetch, url, headers, call, timeoutMs + (call.waitS ?? 0) * 1000, read);
      } catch (error) {
        const delayMs = tries < limits.maxTries ? retryDelayMs(error, call, tries, limits) : undefined;
        if (delayMs === undefined) throw error;
        await pause(delayMs, undefined, call.signal === undefined ? {} : { signal: call.signal });
      }
    }
  };
}

async function sendOnce<Result>(
  fetch: Fetch,
  url: string,
  headers: Record<string, string>,
  call: Call,
  timeoutMs: number,
  read: (response: Response) => Promise<Result>,
): Promise<Result> {
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort();
  }, timeoutMs);
  const signal = call.signal === undefined ? deadline.signal : AbortSignal.any([call.signal, deadline.signal]);
  const body = call.body === undefined ? {} : { body: JSON.stringify(call.body) };
  try {
    const response = await fetch(url, { method: call.method, headers, signal, redirect: 'manual', ...body });
    if (!response.ok && call.accepts?.includes(response.status) !== true) throw await refusalOf(response);
    return await read(response);
  } catch (error) {
    if (error instanceof WritApiError || error instanceof AppError || call.signal?.aborted === true) throw error;
    const origin = new URL(url).origin;
    throw new WritUnreachableError(origin, deadline.signal.aborted ? timeoutMs : undefined, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Undefined where a retry could do harm or no good. Every write that comes here carries an Idempotency-Key. */
function retryDelayMs(error: unknown, call: Call, tries: number, limits: RetryLimits): number | undefined {
  const ceilingMs = Math.min(limits.maxMs, limits.initialMs * 2 ** (tries - 1));
  const jitterMs = Math.random() * ceilingMs;
  if (error instanceof WritUnreachableError) return isLasting(error.code) ? undefined : jitterMs;
  if (!(error instanceof WritApiError) || error.retryAfterS === null) return undefined;
  // 409 with Retry-After: the first call with this key is still in progress.
  const isPassing = error.status === 429 || error.status === 503 || (error.status === 409 && call.method !== 'GET');
  if (!isPassing || error.retryAfterS > limits.retryAfterMaxS) return undefined;
  return error.retryAfterS * 1000 + jitterMs;
}

/** Names that do not exist and certificates that are not trusted stay so. */
function isLasting(code: string | null): boolean {
  return code !== null && /^ENOTFOUND$|CERT|SELF_SIGNED|UNABLE_TO|^ERR_TLS|^ERR_SSL|^ERR_INVALID/.test(code);
}

function headersOf(call: Call, token: string | undefined): Record<string, string> {
  const isWrite = call.method !== 'GET' && call.isRead !== true;
  return {
    accept: 'application/json, application/problem+json, */*;q=0.5',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(isWrite ? { 'idempotency-key': call.idempotencyKey ?? randomUUID() } : {}),
  };
}

function queryText(query: Record<string, QueryValue> | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new AppError('invalid', 'The address of the server is a URL such as https://writ.example.org:8080.');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new AppError('invalid', 'The address of the server has no user name, password, query or fragment.');
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}
