/** The way to Vault or OpenBao that signer, authority and mark share. */

import type { Clock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/error.ts';
import { isVaultFailure, settingsError, vaultFailure } from './failure.ts';
import type { VaultAuth } from './login.ts';
import { checkVaultName } from './name.ts';
import { createSender, type SendToVault, type VaultAnswer, type VaultRequest, type VaultTimeouts } from './sender.ts';
import { TokenSession } from './token-session.ts';
import { createTransport } from './transport.ts';

export interface VaultOptions {
  /** `https://host:port`. */
  address: string;
  namespace?: string;
  /** PEM of the authorities of the server's certificate; without it, those of Node. */
  caPem?: string;
  /** Default true. */
  verifyTls?: boolean;
  /** Default true: `http://` is refused. */
  requireHttps?: boolean;
  auth: VaultAuth;
  clock: Clock;
  /** In [0, 1). */
  random: () => number;
  timeouts?: Partial<VaultTimeouts>;
  /** Told of logins, renewals and the circuit; no field holds a secret. */
  log: (event: string, fields: Record<string, unknown>) => void;
}

/**
 * Calls fail with an AppError alone, which holds nothing that was sent or answered: `unavailable` where a later try may
 * help, `forbidden` (`vault_denied`), `invalid` (`vault_refused`, `vault_name_invalid`), `not_found`.
 */
export interface VaultClient {
  /** The `data` of what is at a path; undefined where nothing is. */
  read(path: string): Promise<unknown>;
  /**
   * Posts to a path and answers the `data` that comes back, undefined where none does. A call whose answer was lost is
   * repeated unless `isRepeatable` is false; then it fails, and may have been carried out.
   */
  write(path: string, body: object, options?: { isRepeatable?: boolean }): Promise<unknown>;
  /** Whether Vault answers and is unsealed; `detail` says what is wrong. Never fails. */
  status(): Promise<{ ok: boolean; detail?: string }>;
  /** Ends renewals and connections; calls fail from then on. */
  close(): void;
}

const defaultTimeouts: VaultTimeouts = {
  connectMs: 2000,
  totalMs: 5000,
  patienceMs: 10_000,
  openInitialMs: 500,
  openMaxMs: 15_000,
};

/** Calls that may be under way or wait for a connection at once. */
const callsMax = 4096;

/** Every state is an answer with status 200; what it says is in the body. */
const healthPath = 'sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200';

/** Connects and logs in. Fails `invalid` for settings that cannot be meant, and otherwise as calls do. */
export async function openVault(options: VaultOptions): Promise<VaultClient> {
  const { address, namespace, caPem, verifyTls = true, requireHttps = true, auth, clock, random, log } = options;
  if (namespace !== undefined && !/^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*\/?$/.test(namespace)) {
    throw settingsError('VAULT_NAMESPACE is a path of letters, digits, - and _.');
  }
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const transport = createTransport({
    ...{ address, requireHttps, verifyTls, connectMs: timeouts.connectMs, totalMs: timeouts.totalMs },
    ...(caPem === undefined ? {} : { caPem }),
  });
  try {
    const send = await createSender({
      ...{ transport, timeouts, clock, random, log },
      ...(namespace === undefined ? {} : { namespace }),
    });
    const session = await TokenSession.open({ auth, send, clock, log });
    return new SharedVaultClient(send, session, () => {
      transport.close();
    });
  } catch (error) {
    transport.close();
    throw error;
  }
}

class SharedVaultClient implements VaultClient {
  readonly #send: SendToVault;
  readonly #session: TokenSession;
  readonly #disconnect: () => void;
  #calls = 0;
  #isClosed = false;

  constructor(send: SendToVault, session: TokenSession, disconnect: () => void) {
    this.#send = send;
    this.#session = session;
    this.#disconnect = disconnect;
  }

  async read(path: string): Promise<unknown> {
    try {
      return await this.#call({ method: 'GET', path });
    } catch (error) {
      if (isVaultFailure(error, 'notFound')) return undefined;
      throw error;
    }
  }

  write(path: string, body: object, { isRepeatable = true } = {}): Promise<unknown> {
    return this.#call({ method: 'POST', path, body, isRepeatable });
  }

  async status(): Promise<{ ok: boolean; detail?: string }> {
    try {
      this.#checkOpen();
      await this.#send({
        method: 'GET',
        path: healthPath,
        isRepeatable: false,
        isNamespaced: false,
        check: checkHealth,
      });
      await this.#session.token();
      return { ok: true };
    } catch (error) {
      return { ok: false, detail: error instanceof AppError ? error.message : 'Vault cannot be asked.' };
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#session.close();
    this.#disconnect();
  }

  async #call(request: VaultRequest): Promise<unknown> {
    // Callers check the names that they are given; a path that holds anything else is never sent.
    request.path.split('/').forEach(checkVaultName);
    this.#checkOpen();
    if (this.#calls >= callsMax) {
      throw new AppError('unavailable', 'Too many calls to Vault are under way. Try again in a moment.', {
        ...{ reason: 'overloaded', retryAfterS: 1 },
      });
    }
    this.#calls += 1;
    try {
      return (await this.#sendWithToken(request))['data'];
    } catch (error) {
      this.#checkOpen();
      throw error;
    } finally {
      this.#calls -= 1;
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw vaultFailure('closed');
  }

  async #sendWithToken(request: VaultRequest): Promise<VaultAnswer> {
    const token = await this.#session.token();
    try {
      return await this.#send({ ...request, token });
    } catch (error) {
      // A token that ended is answered like one that may not do this.
      if (!isVaultFailure(error, 'denied')) throw error;
      const other = await this.#session.replace(token);
      if (other === undefined) throw error;
      return await this.#send({ ...request, token: other });
    }
  }
}

function checkHealth({ initialized, sealed }: VaultAnswer): void {
  if (typeof initialized !== 'boolean' || typeof sealed !== 'boolean') throw vaultFailure('answerInvalid');
  if (!initialized || sealed) throw vaultFailure('sealed');
}
