/** The node's own door: whoever has its token may ask it to end. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import type { Clock } from '../domain/clock.ts';
import { sha256 } from '../proof/hash.ts';

const bodyMaxBytes = 16 * 1024;
/** A request that is older, or comes from a later time, is not one that somebody makes now. */
const staleMs = 5 * 60_000;

export interface ManagementOptions {
  listen: { host: string; port: number };
  token: string;
  /** What work in hand gets where the request does not say, seconds. */
  graceS: number;
  clock: Clock;
  /** Called once, after the answer. */
  onTerminate: (graceS: number) => void;
}

const termination = z.strictObject({
  reason: z.string().max(500),
  timestamp: z.iso.datetime({ offset: true }).or(z.number()),
  grace_period_seconds: z.number().min(0).max(86_400).optional(),
});

/** Opens it. `POST /control/terminate` is answered 202, and then the node ends. */
export async function openManagementDoor(
  options: ManagementOptions,
): Promise<{ url: string; close: () => Promise<void> }> {
  let isEnding = false;
  const limits = { maxHeaderSize: 8192, requestTimeout: 10_000, keepAliveTimeout: 1000 };
  const server = createServer(limits, (request, response) => {
    void decide(request, options).then(
      ({ status, body, graceS }) => {
        send(response, status, body);
        if (graceS === undefined || isEnding) return;
        isEnding = true;
        response.once('close', () => {
          options.onTerminate(graceS);
        });
      },
      () => {
        send(response, 400, failure('invalid_body', 'The request cannot be read.'));
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.listen, () => {
      resolve();
    });
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port.toString()}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

interface Decision {
  status: number;
  body: object;
  graceS?: number;
}

async function decide(request: IncomingMessage, options: ManagementOptions): Promise<Decision> {
  if (!isToken(request.headersDistinct.authorization, options.token)) {
    return { status: 401, body: failure('unauthenticated', 'The token of the management door is missing or wrong.') };
  }
  if (request.url !== '/control/terminate' || request.method !== 'POST') {
    return { status: 404, body: failure('no_such_path', 'There is POST /control/terminate, and nothing else.') };
  }
  const parsed = termination.safeParse(JSON.parse(await read(request)));
  if (!parsed.success) {
    const form = '{"reason": "…", "timestamp": "…", "grace_period_seconds": 60}';
    return { status: 400, body: failure('invalid_body', `The body has the form ${form}.`) };
  }
  const { timestamp, grace_period_seconds: graceS = options.graceS } = parsed.data;
  const atMs = typeof timestamp === 'number' ? timestamp * 1000 : Date.parse(timestamp);
  if (Math.abs(options.clock.now() - atMs) > staleMs) {
    return { status: 400, body: failure('stale_timestamp', 'The timestamp is more than five minutes off.') };
  }
  const message = 'The node takes no more orders and ends.';
  return { status: 202, body: { success: true, message, grace_period_seconds: graceS }, graceS };
}

/** Of two headers, somebody before this door may have judged the other one. Hashes have one length, so comparing them tells nothing of the token's. */
function isToken(headers: readonly string[] | undefined, token: string): boolean {
  const header = headers?.length === 1 ? headers[0] : undefined;
  const given = /^Bearer ([\x21-\x7e]+)$/i.exec(header ?? '')?.[1];
  return given !== undefined && timingSafeEqual(sha256(given), sha256(token));
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyMaxBytes) throw new Error('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function failure(code: string, detail: string): object {
  return { success: false, code, detail };
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  response.writeHead(status, headers).end(text);
}
