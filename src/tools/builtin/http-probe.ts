/** `http.probe`: one request to the checked address; no redirect is followed and no proxy is asked. */

import { createHash } from 'node:crypto';
import { request as startRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { parseTarget } from '../../domain/target.ts';
import { ActionFailure } from '../result.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { connectInScope, networkFailure } from './connect.ts';
import { choice, invalid, optionalBoolean, optionalInteger, requiredText } from './read-parameters.ts';
import { startTls, type TlsFacts } from './tls-session.ts';

const bodyMaxBytes = 64 * 1024 * 1024;
const headersMaxBytes = 16 * 1024;
const headerMaxLength = 1024;
const timeoutMaxMs = 600_000;

/** Headers that are told; none of them carries a secret. */
const toldHeaders = [
  ...['content-type', 'content-length', 'content-security-policy', 'cache-control', 'date', 'etag', 'last-modified'],
  ...['location', 'permissions-policy', 'referrer-policy', 'retry-after', 'server', 'strict-transport-security'],
  ...['via', 'www-authenticate', 'x-content-type-options', 'x-frame-options'],
];

/**
 * Parameters: `url`, `method` (`GET`, `HEAD`), `expect_status`, `timeout_ms`, `verify_tls` (default true). Without
 * `expect_status` any answer is a success.
 */
export const httpProbe: Builtin = async (parameters, outer) => {
  const url = requiredText(parameters, 'url');
  const target = parseTarget('url', url, 'url');
  if ('problem' in target) throw invalid('url', `a URL: ${target.problem}`);
  const probe = {
    url: new URL(url),
    host: target.host,
    port: target.port ?? 80,
    method: choice(parameters, 'method', ['GET', 'HEAD']),
    verifyTls: optionalBoolean(parameters, 'verify_tls') ?? true,
  };
  const expected = optionalInteger(parameters, 'expect_status', { min: 100, max: 599 });
  const timeoutMs = optionalInteger(parameters, 'timeout_ms', { min: 1, max: timeoutMaxMs });
  const output = await withTimeout(timeoutMs, outer, (context) => run(probe, context));
  if (expected !== undefined && output.status !== expected) {
    throw new ActionFailure(
      'unexpected_status',
      `status ${output.status.toString()} instead of ${expected.toString()}`,
      {
        retryable: output.status >= 500 || output.status === 429,
        output,
      },
    );
  }
  return { output };
};

interface Probe {
  url: URL;
  host: string;
  port: number;
  method: string;
  verifyTls: boolean;
}

async function run(probe: Probe, context: BuiltinContext) {
  const startedMs = context.clock.monotonicMs();
  const sinceStartMs = (): number => Math.round(context.clock.monotonicMs() - startedMs);
  const connection = await connectInScope(probe.host, probe.port, context);
  const connectedMs = sinceStartMs();
  try {
    const tls =
      probe.url.protocol === 'https:' ? await startTls(connection, probe.host, context.clock.now()) : undefined;
    if (tls !== undefined && probe.verifyTls) refuseUntrusted(tls.facts, probe.host);
    const securedMs = sinceStartMs();
    const response = await send(probe, tls?.socket ?? connection.socket);
    const firstByteMs = sinceStartMs();
    const body = await digestBody(response);
    return {
      url: probe.url.href,
      method: probe.method,
      address: connection.address.address,
      status: response.statusCode ?? 0,
      http_version: response.httpVersion,
      headers: selectHeaders(response.headers),
      body_sha256: body.sha256,
      body_bytes: body.bytes,
      tls: tls?.facts ?? null,
      timing: { connected_ms: connectedMs, secured_ms: securedMs, first_byte_ms: firstByteMs, done_ms: sinceStartMs() },
    };
  } catch (error) {
    throw networkFailure(error, `asking ${probe.url.host}`);
  } finally {
    connection.socket.destroy();
  }
}

function refuseUntrusted(facts: TlsFacts, host: string): void {
  if (facts.authorized) return;
  const reason = facts.authorization_error ?? 'unknown';
  throw new ActionFailure('tls_unauthorized', `the certificate of ${host} is not trusted: ${reason}`, {
    output: { tls: facts },
  });
}

/** The connection is the one that was checked; there is no agent that could open another. */
function send(probe: Probe, socket: Duplex): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = startRequest({
      createConnection: () => socket,
      method: probe.method,
      path: `${probe.url.pathname}${probe.url.search}`,
      setHost: false,
      headers: { host: probe.url.host, 'user-agent': 'writ', accept: '*/*', 'accept-encoding': 'identity' },
      maxHeaderSize: headersMaxBytes,
    });
    request.once('response', resolve);
    request.on('error', (error) => {
      reject(answerFailure(error));
    });
    request.once('upgrade', () => {
      reject(new ActionFailure('answer_invalid', 'the server switched to another protocol'));
    });
    request.once('close', () => {
      reject(new ActionFailure('connection_reset', 'the other side ended the connection', { retryable: true }));
    });
    request.end();
  });
}

function answerFailure(error: Error): Error {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (!code.startsWith('HPE_')) return error;
  const text = code === 'HPE_HEADER_OVERFLOW' ? 'the headers are too large' : `the answer is not HTTP (${code})`;
  return new ActionFailure('answer_invalid', text, { cause: error });
}

async function digestBody(response: IncomingMessage): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > bodyMaxBytes) {
      throw new ActionFailure('body_too_large', `the body has over ${bodyMaxBytes.toString()} bytes`);
    }
    hash.update(chunk);
  }
  return { sha256: hash.digest('hex'), bytes };
}

function selectHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const told: Record<string, string> = {};
  for (const name of toldHeaders) {
    const value = headers[name];
    if (value !== undefined) told[name] = String(value).slice(0, headerMaxLength).toWellFormed();
  }
  return told;
}

/** A shorter limit than the attempt's own, whose passing is a failure that may be tried again. */
async function withTimeout<T>(
  timeoutMs: number | undefined,
  outer: BuiltinContext,
  work: (context: BuiltinContext) => Promise<T>,
): Promise<T> {
  if (timeoutMs === undefined) return work(outer);
  const own = AbortSignal.timeout(timeoutMs);
  const both = AbortSignal.any([own, outer.signal()]);
  try {
    return await work({ clock: outer.clock, resolve: (host) => outer.resolve(host), signal: () => both });
  } catch (error) {
    if (!own.aborted || outer.signal().aborted) throw error;
    const message = `no complete answer within ${timeoutMs.toString()} ms`;
    throw new ActionFailure('no_answer_in_time', message, { retryable: true, cause: error });
  }
}
