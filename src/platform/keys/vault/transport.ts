/** HTTP to Vault for node-vault: bounded in time and size, and never to another place than it was told. */

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import type { AppError } from '../../../domain/error.ts';
import { systemErrorCode } from '../private-file.ts';
import { settingsError, vaultFailure } from './failure.ts';

export interface TransportOptions {
  /** Only there requests are sent: `https://host:port`. */
  address: string;
  /** False lets `http://` through. */
  requireHttps: boolean;
  /** False trusts any certificate. */
  verifyTls: boolean;
  /** PEM of the authorities that may have signed the server's certificate; without it, those of Node. */
  caPem?: string;
  /** Until the connection stands, TLS included. */
  connectMs: number;
  /** From the call to the last byte of the answer. */
  totalMs: number;
}

/** What node-vault asks its `request-promise` for, and the one member that we add. */
export interface TransportRequest {
  method: string;
  uri: string;
  headers?: Record<string, string>;
  json?: unknown;
  /** Shortens `totalMs` for this request. */
  timeoutMs?: number;
}

export interface TransportAnswer {
  statusCode: number;
  /** The parsed object; undefined where there is none. */
  body: unknown;
  request: { path: string };
}

export interface Transport {
  /** The address without a slash at its end. */
  origin: string;
  /** What node-vault takes as `request-promise`. Its defaults are refused: some come from the environment. */
  requestPromise: { defaults(): (request: TransportRequest) => Promise<TransportAnswer> };
  /** Ends all connections; requests under way fail. */
  close(): void;
}

const answerMaxBytes = 1024 * 1024;
const socketsMax = 32;
const idleMs = 30_000;

/**
 * Makes the transport. Fails `invalid` for an address that is none. Requests fail `unavailable`: `vault_unreachable`,
 * `vault_timeout`, `vault_redirected`, `vault_answer_invalid`. Statuses from 400 on are answers.
 */
export function createTransport(options: TransportOptions): Transport {
  const { protocol, origin } = checkAddress(options);
  const isTls = protocol === 'https:';
  const agent = isTls ? createTlsAgent(options) : new HttpAgent(agentOptions);
  const { connectMs, totalMs } = options;
  const wire: Wire = { isTls, agent, connectMs, totalMs, connected: new WeakSet(), underWay: new Set() };
  let isClosed = false;
  const send = (request: TransportRequest): Promise<TransportAnswer> => {
    if (isClosed) return Promise.reject(vaultFailure('closed'));
    const url = new URL(request.uri);
    // node-vault puts the path behind the address; what would lead elsewhere gets no token.
    return url.origin === origin ? exchange(wire, url, request) : Promise.reject(vaultFailure('redirected'));
  };
  return {
    origin,
    requestPromise: { defaults: () => send },
    close: () => {
      isClosed = true;
      // Those that wait for a connection would open one, also after the agent's end.
      for (const fail of wire.underWay) fail(vaultFailure('closed'));
      agent.destroy();
    },
  };
}

/** What the requests of one transport share. */
interface Wire {
  isTls: boolean;
  agent: HttpAgent;
  connectMs: number;
  totalMs: number;
  /** Sockets of the agent whose connection stands. */
  connected: WeakSet<Duplex>;
  /** Ends each request that has not ended. */
  underWay: Set<(error: AppError) => void>;
}

const agentOptions = { keepAlive: true, maxSockets: socketsMax, timeout: idleMs };

function createTlsAgent({ verifyTls, caPem }: TransportOptions): HttpsAgent {
  return new HttpsAgent({
    ...agentOptions,
    minVersion: 'TLSv1.2',
    // Said in so many words, since NODE_TLS_REJECT_UNAUTHORIZED decides where it is not.
    rejectUnauthorized: verifyTls,
    ...(caPem === undefined ? {} : { ca: caPem }),
  });
}

function checkAddress({ address, requireHttps }: TransportOptions): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw settingsError('VAULT_ADDR is no address such as https://vault.example.org:8200.');
  }
  if (url.protocol === 'http:' && requireHttps) {
    throw settingsError('VAULT_ADDR is not https://. Use TLS, or set VAULT_REQUIRE_HTTPS=false for a test.');
  }
  if (url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw settingsError('VAULT_ADDR has no user name, password, path, query or fragment.');
  }
  return url;
}

function headersOf(request: TransportRequest, body: string | undefined): Record<string, string | number> {
  return {
    ...request.headers,
    accept: 'application/json',
    'accept-encoding': 'identity',
    // Vault's agents take no request without it, so that no browser can be made to send one.
    'x-vault-request': 'true',
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
}

/** One request from its start to the last byte of its answer, or to the failure that ends it. */
function exchange(wire: Wire, url: URL, request: TransportRequest): Promise<TransportAnswer> {
  const body = typeof request.json === 'object' ? JSON.stringify(request.json) : undefined;
  const options = { method: request.method, agent: wire.agent, headers: headersOf(request, body) };
  return new Promise((resolve, reject) => {
    const outgoing = wire.isTls ? httpsRequest(url, options) : httpRequest(url, options);
    const timers: NodeJS.Timeout[] = [];
    const end = (): void => {
      timers.forEach(clearTimeout);
      wire.underWay.delete(fail);
    };
    const fail = (error: AppError): void => {
      end();
      reject(error);
      // Ends the connection with it: what is still under way must not become the answer to the next request.
      outgoing.destroy();
    };
    const failLater = (afterMs: number): NodeJS.Timeout =>
      setTimeout(() => {
        fail(vaultFailure('timeout'));
      }, afterMs).unref();
    wire.underWay.add(fail);
    timers.push(failLater(Math.min(wire.totalMs, request.timeoutMs ?? Infinity)));
    outgoing.on('error', (error) => {
      fail(networkFailure(error));
    });
    outgoing.on('socket', (socket) => {
      if (wire.connected.has(socket)) return;
      const timer = failLater(wire.connectMs);
      timers.push(timer);
      socket.once(wire.isTls ? 'secureConnect' : 'connect', () => {
        wire.connected.add(socket);
        clearTimeout(timer);
      });
    });
    outgoing.on('response', (incoming) => {
      readAnswer(incoming, url.pathname).then((answer) => {
        end();
        resolve(answer);
      }, fail);
    });
    outgoing.end(body);
  });
}

async function readAnswer(incoming: IncomingMessage, path: string): Promise<TransportAnswer> {
  const statusCode = incoming.statusCode ?? 0;
  if (statusCode >= 300 && statusCode < 400) throw vaultFailure('redirected');
  const bytes = await readBody(incoming);
  const body = parseBody(incoming, bytes);
  // A proxy that finds no server behind it answers with a page of its own: the status says enough.
  const isStatusEnough = statusCode === 204 || statusCode === 429 || statusCode >= 500;
  if (body === undefined && !isStatusEnough) throw vaultFailure('answerInvalid');
  return { statusCode, body, request: { path } };
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = Number(incoming.headers['content-length'] ?? 0);
  if (length > answerMaxBytes) throw vaultFailure('answerInvalid');
  length = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > answerMaxBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw networkFailure(error);
  }
  if (length > answerMaxBytes) throw vaultFailure('answerInvalid');
  return Buffer.concat(chunks);
}

/** The JSON object of an answer; undefined for anything else (RFC 8259 §8.1: UTF-8, without a byte order mark). */
function parseBody(incoming: IncomingMessage, bytes: Buffer): object | undefined {
  if (!/^application\/json(?:\s*;|$)/i.test(incoming.headers['content-type'] ?? '')) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    // The parser's error quotes what it read.
    return undefined;
  }
}

function networkFailure(error: unknown): AppError {
  const code = systemErrorCode(error);
  // Codes of the HTTP parser: what answers there does not speak HTTP as it should.
  return vaultFailure(code?.startsWith('HPE_') === true ? 'answerInvalid' : 'unreachable', code);
}
