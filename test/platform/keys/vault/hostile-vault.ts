/** A server that speaks as much of Vault as the client needs, over TLS, and misbehaves when it is told to. */

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { systemClock } from '../../../../src/domain/clock.ts';
import { createListenerCertificate } from '../../../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../../../src/platform/keys/local-authority.ts';
import { makeDirectory } from '../temporary-directory.ts';

/** Secrets that must be seen nowhere but on the wire to this server. */
export const canary = {
  token: 's.CANARY-token-0d5f8a',
  secretId: 'CANARY-secret-id-77c1e2',
  wrappedSecretId: 's.CANARY-wrapped-91b3d4',
  sent: 'CANARY-sent-5ae90b',
  answered: 'CANARY-answered-c64417',
};

export interface SeenRequest {
  method: string;
  /** Behind `/v1/`. */
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** Answers one request in some way, or lets it hang. */
export type Behaviour = (request: SeenRequest, response: ServerResponse) => void;

export interface HostileVault {
  address: string;
  caPem: string;
  /** All requests so far, in order. */
  seen: SeenRequest[];
  /** How calls are answered, but for logins and questions about tokens. */
  behaviour: Behaviour;
  /** How logins and questions about tokens are answered, by their path; well where none is given. */
  authBehaviours: Map<string, Behaviour>;
  /** Life of the tokens that are given out, seconds. */
  ttlS: number;
  isRenewable: boolean;
  /** From now on no token that was given out is known. */
  endTokens(): void;
  /** Requests seen at a path. */
  count(path: string): number;
  stop(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1, with a certificate of an authority of its own. */
export async function startHostileVault(): Promise<HostileVault> {
  const { directory, remove } = await makeDirectory();
  const authority = await openLocalAuthority({
    keyPath: join(directory, 'authority.key'),
    certificatePath: join(directory, 'authority.crt'),
    create: true,
    clock: systemClock,
  });
  const { keyPem, certificatePem } = await createListenerCertificate(authority);
  const tokens = new Set<string>();
  const state: HostileVault = {
    address: '',
    caPem: await authority.rootPem(),
    seen: [],
    behaviour: good,
    authBehaviours: new Map(),
    ttlS: 3600,
    isRenewable: true,
    endTokens: () => tokens.clear(),
    count: (path) => state.seen.filter((request) => request.path === path).length,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
      await remove();
    },
  };
  const server = createServer({ key: keyPem, cert: certificatePem }, (incoming, response) => {
    void text(incoming).then((body) => {
      const { method = '', url = '', headers } = incoming;
      const request = { method, path: url.replace(/^\/v1\//, '').replace(/\?.*$/, ''), headers, body };
      state.seen.push(request);
      const authBehaviour = state.authBehaviours.get(request.path);
      if (authBehaviour !== undefined) authBehaviour(request, response);
      else if (/^(?:auth|sys\/wrapping)\//.test(request.path)) answerAuth(state, tokens, request, response);
      else if (state.behaviour === good && !isKnown(tokens, request)) deny(response);
      else state.behaviour(request, response);
    }, ignore);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  state.address = `https://127.0.0.1:${(server.address() as AddressInfo).port.toString()}`;
  return state;
}

/** Says what was sent, as a KV store would, and that nothing is at `kv/data/nothing`. */
export const good: Behaviour = ({ path, body }, response) => {
  if (path === 'sys/health') sendJson(response, 200, { initialized: true, sealed: false, standby: false });
  else if (path === 'kv/data/nothing') sendJson(response, 404, { errors: [] });
  else sendJson(response, 200, { data: { path, body, secret: canary.answered } });
};

/** Refuses with a status, and repeats in its errors everything that it was told. */
export function refuse(status: number, message = 'no'): Behaviour {
  return ({ headers, body }, response) =>
    sendJson(response, status, { errors: [message, headers['x-vault-token'] ?? '', body, canary.answered] });
}

/** 200 with this text. */
export function answer(contentType: string, body: string | Buffer): Behaviour {
  return (_, response) => {
    response.writeHead(200, { 'content-type': contentType }).end(body);
  };
}

export function redirectTo(address: string, status = 307): Behaviour {
  return ({ path }, response) => {
    response.writeHead(status, { location: `${address}/v1/${path}` }).end();
  };
}

/** Never answers. */
export const hang: Behaviour = () => undefined;

/** Answers at once, a byte at a time and without end. */
export const drip: Behaviour = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => {
    clearInterval(timer);
  });
};

/** Says that 10 MB follow, and lets wait for them. */
export const promise: Behaviour = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 10_000_009 }).write('{"data":"');
};

/** Sends JSON without end, as fast as it is taken. */
export const flood: Behaviour = (_, response) => {
  const megabyte = Buffer.alloc(1_000_000, 'x');
  const pour = (): void => {
    while (response.write(megabyte));
  };
  response.writeHead(200, { 'content-type': 'application/json' }).write('{"data":"');
  response.on('drain', pour);
  pour();
};

/** 10 MB of JSON that are well-formed. */
export const large: Behaviour = (_, response) => sendJson(response, 200, { data: 'x'.repeat(10_000_000) });

/** Speaks another protocol. */
export const babble: Behaviour = (_, response) => response.socket?.end('220 mail.example.org ESMTP\r\n');

/** Ends the connection in the middle of an answer. */
export const cutOff: Behaviour = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
  response.write('{"data":', () => response.destroy());
};

function answerAuth(state: HostileVault, tokens: Set<string>, request: SeenRequest, response: ServerResponse): void {
  const lease = { lease_duration: state.ttlS, renewable: state.isRenewable };
  if (request.path === 'sys/wrapping/lookup') {
    sendJson(response, 200, { data: { creation_path: 'auth/approle/role/writ-orchestrator/secret-id' } });
  } else if (request.path === 'sys/wrapping/unwrap') {
    sendJson(response, 200, { data: { secret_id: canary.secretId } });
  } else if (request.path.endsWith('/login')) {
    const { secret_id: secretId } = JSON.parse(request.body) as { secret_id?: string };
    if (secretId !== canary.secretId) {
      refuse(400, 'invalid role or secret ID')(request, response);
      return;
    }
    const token = `${canary.token}-${(tokens.size + state.count(request.path)).toString()}`;
    tokens.add(token);
    sendJson(response, 200, { auth: { client_token: token, ...lease } });
  } else if (!isKnown(tokens, request)) {
    deny(response);
  } else if (request.path === 'auth/token/lookup-self') {
    sendJson(response, 200, { data: { ttl: state.ttlS, renewable: state.isRenewable } });
  } else {
    sendJson(response, 200, { auth: { client_token: request.headers['x-vault-token'], ...lease } });
  }
}

/** The token that is named in the canaries is one that an operator gave; it is known without a login. */
function isKnown(tokens: Set<string>, { path, headers }: SeenRequest): boolean {
  const token = String(headers['x-vault-token']);
  return path === 'sys/health' || token === canary.token || tokens.has(token);
}

function deny(response: ServerResponse): void {
  sendJson(response, 403, { errors: ['permission denied'] });
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function ignore(): void {
  // A request that was given up while it was read.
}
