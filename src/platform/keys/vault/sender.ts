/** Sends calls through node-vault: bounded retries, the circuit breaker, and failures without what was sent or answered. */

import type { Clock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/error.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { isVaultFailure, vaultFailure, type VaultFailureKind } from './failure.ts';
import type { Transport } from './transport.ts';

/** Times in milliseconds. */
export interface VaultTimeouts {
  /** Until a connection stands. */
  connectMs: number;
  /** One try, to the last byte of its answer. */
  totalMs: number;
  /** All tries of one call together. */
  patienceMs: number;
  /** How long calls fail at once after failures in a row; doubled while Vault goes on failing. */
  openInitialMs: number;
  openMaxMs: number;
}

export interface VaultRequest {
  method: 'GET' | 'POST';
  /** Behind `/v1/`. */
  path: string;
  body?: object;
  token?: string;
  /** False where a second try could do something else than the first: it is tried once. */
  isRepeatable?: boolean;
  /** False sends it to the root namespace. */
  isNamespaced?: boolean;
  /** Fails where an answer tells of a server that cannot work. */
  check?: (answer: VaultAnswer) => void;
}

/** The members of an answer; none where Vault answered without a body. */
export type VaultAnswer = Record<string, unknown>;

/** Sends one request and answers its whole body. Fails with an AppError of failure.ts. */
export type SendToVault = (request: VaultRequest) => Promise<VaultAnswer>;

export interface SenderOptions {
  transport: Transport;
  namespace?: string;
  timeouts: VaultTimeouts;
  clock: Clock;
  random: () => number;
  log: (event: string, fields: Record<string, unknown>) => void;
}

const triesMax = 3;
const delayInitialMs = 100;
const delayMaxMs = 1000;
const failuresMax = 5;

/** What a further try may mend. */
const passing: readonly VaultFailureKind[] = ['unreachable', 'timeout', 'rateLimited', 'failed'];
/** What says that the server, and not the call, is in a bad way. */
const serverSide: readonly VaultFailureKind[] = [...passing, 'sealed', 'redirected', 'answerInvalid'];

export async function createSender(options: SenderOptions): Promise<SendToVault> {
  const { timeouts, clock, random, log } = options;
  const exchange = await createExchange(options);
  const breaker = new CircuitBreaker({
    ...{ failuresMax, clock, random },
    openInitialMs: timeouts.openInitialMs,
    openMaxMs: timeouts.openMaxMs,
    onChange: ({ isOpen, ...fields }) => {
      log(isOpen ? 'vault_circuit_open' : 'vault_circuit_closed', fields);
    },
  });

  async function attempt(request: VaultRequest, timeoutMs: number): Promise<VaultAnswer> {
    const permit = breaker.enter();
    try {
      const answer = await exchange(request, timeoutMs);
      request.check?.(answer);
      breaker.succeeded(permit);
      return answer;
    } catch (error) {
      if (error instanceof AppError && serverSide.some((kind) => isVaultFailure(error, kind))) {
        breaker.failed(permit, error, isVaultFailure(error, 'sealed'));
      } else {
        breaker.succeeded(permit);
      }
      throw error;
    }
  }

  return async (request) => {
    const deadlineMs = clock.monotonicMs() + timeouts.patienceMs;
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt(request, deadlineMs - clock.monotonicMs());
      } catch (error) {
        const delayMs = random() * Math.min(delayMaxMs, delayInitialMs * 2 ** (tries - 1));
        const isInTime = clock.monotonicMs() + delayMs < deadlineMs;
        if (tries >= triesMax || request.isRepeatable === false || !isInTime || !isPassing(error)) throw error;
        // Unlike other timers here, this one keeps the process alive: somebody waits for the answer.
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  };
}

/** An open circuit says when to come again; that is not waited for. */
function isPassing(error: unknown): boolean {
  if (error instanceof AppError && error.details.retryAfterS !== undefined) return false;
  return passing.some((kind) => isVaultFailure(error, kind));
}

/** One exchange with the server by node-vault, of which nothing is left to the environment. */
async function createExchange({
  transport,
  namespace,
}: SenderOptions): Promise<(request: VaultRequest, timeoutMs: number) => Promise<VaultAnswer>> {
  // Loaded here: what runs without Vault does without the library's time to load.
  const { default: createNodeVault } = await import('node-vault');
  const vault = createNodeVault({
    endpoint: transport.origin,
    apiVersion: 'v1',
    'request-promise': transport.requestPromise,
    // Its own prints what is sent and answered where DEBUG says so.
    debug: () => undefined,
  });
  // Options that are empty are taken from VAULT_TOKEN, VAULT_NAMESPACE and VAULT_PREFIX; these members are what counts.
  Object.assign(vault, { token: '', namespace: '', pathPrefix: '' });

  return async ({ method, path, body, token, isNamespaced }, timeoutMs) => {
    const headers: Record<string, string> = {
      ...(token === undefined ? {} : { 'X-Vault-Token': token }),
      ...(namespace === undefined || isNamespaced === false ? {} : { 'X-Vault-Namespace': namespace }),
    };
    try {
      const answer: unknown =
        method === 'GET'
          ? await vault.read(path, { headers, timeoutMs })
          : await vault.write(path, body ?? {}, { headers, timeoutMs });
      return (answer ?? {}) as VaultAnswer;
    } catch (error) {
      throw translate(error);
    }
  };
}

/** The library's error carries the whole answer and goes no further than here. */
function translate(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const response = (error as { response?: { statusCode?: unknown; body?: unknown } } | null)?.response;
  const status = response?.statusCode;
  if (typeof status !== 'number') return new AppError('internal', 'A call to Vault failed inside of Writ.');
  if (status === 403) return vaultFailure('denied');
  if (status === 404) return vaultFailure('notFound');
  if (status === 429) return vaultFailure('rateLimited');
  if (status === 503 && saysSealed(response?.body)) return vaultFailure('sealed');
  // 412: a standby that has not seen an earlier write yet.
  if (status === 412 || status >= 500) return vaultFailure('failed');
  return vaultFailure(status >= 400 ? 'refused' : 'answerInvalid');
}

function saysSealed(body: unknown): boolean {
  const errors = (body as { errors?: unknown } | null | undefined)?.errors;
  return Array.isArray(errors) && errors.some((text) => typeof text === 'string' && /\bsealed\b/i.test(text));
}
