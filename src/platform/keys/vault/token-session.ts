/** Keeps a token of Vault alive: renewed before it ends, and replaced once for all when it ended. */

import type { Clock } from '../../../domain/clock.ts';
import type { AppError } from '../../../domain/error.ts';
import { isVaultFailure } from './failure.ts';
import { createLogin, lookUp, renew, type Lease, type VaultAuth } from './login.ts';
import type { SendToVault } from './sender.ts';

export interface TokenSessionOptions {
  auth: VaultAuth;
  send: SendToVault;
  clock: Clock;
  log: (event: string, fields: Record<string, unknown>) => void;
}

const renewMinMs = 500;
/** The longest that a timer can wait. */
const timerMaxMs = 2 ** 31 - 1;
/** Logins that Vault refused are counted there, and too many lock the role: the pause after each doubles. */
const refusedPauseInitialMs = 1000;
const refusedPauseMaxMs = 60_000;

/** Owns the token and the timer of its renewal. */
export class TokenSession {
  readonly #options: TokenSessionOptions;
  readonly #login: () => Promise<Lease>;
  #lease: Lease = { token: '', ttlS: 0, isRenewable: false, canLookUp: false };
  #endsMs = Infinity;
  /** Vault no longer knows the token, and no login has succeeded since. */
  #isEnded = true;
  #refusal: { error: AppError; count: number; untilMs: number } | undefined;
  #loggingIn: Promise<string> | undefined;
  #restoring: Promise<string | undefined> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(options: TokenSessionOptions) {
    this.#options = options;
    this.#login = createLogin(options.auth, options.send);
  }

  /** Logs in. Fails as `createLogin` says. */
  static async open(options: TokenSessionOptions): Promise<TokenSession> {
    const session = new TokenSession(options);
    await session.#logInOnce();
    return session;
  }

  /** The token to call with. Logs in where the last one is known to have ended. */
  async token(): Promise<string> {
    return this.#isEnded ? this.#logInOnce() : this.#lease.token;
  }

  /**
   * After a call with `denied` was denied: the token to repeat it with; undefined where `denied` is still good, so that
   * the denial stands. However many calls ask, one looks the token up and one logs in.
   */
  async replace(denied: string): Promise<string | undefined> {
    if (this.#isEnded || this.#lease.token !== denied) return this.token();
    this.#restoring ??= this.#restore(denied).finally(() => {
      this.#restoring = undefined;
    });
    return this.#restoring;
  }

  /** Ends the renewals. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #restore(denied: string): Promise<string | undefined> {
    if (await this.#isAlive(denied)) return undefined;
    // A login that began before may have ended meanwhile.
    if (this.#lease.token === denied) this.#isEnded = true;
    return this.token();
  }

  async #isAlive(token: string): Promise<boolean> {
    const { canLookUp } = this.#lease;
    if (!canLookUp) return this.#options.clock.monotonicMs() < this.#endsMs;
    return (await lookUp(this.#options.send, token)) !== undefined;
  }

  #logInOnce(): Promise<string> {
    this.#loggingIn ??= this.#logIn().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  async #logIn(): Promise<string> {
    const { clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    if (this.#refusal !== undefined && startedMs < this.#refusal.untilMs) throw this.#refusal.error;
    try {
      this.#take(await this.#login(), startedMs);
    } catch (error) {
      if (isVaultFailure(error, 'loginFailed')) this.#rest(error);
      throw error;
    }
    this.#refusal = undefined;
    log('vault_logged_in', { ttl_s: this.#lease.ttlS, renewable: this.#lease.isRenewable });
    return this.#lease.token;
  }

  #rest(error: AppError): void {
    const count = (this.#refusal?.count ?? 0) + 1;
    const pauseMs = Math.min(refusedPauseMaxMs, refusedPauseInitialMs * 2 ** Math.min(20, count - 1));
    this.#refusal = { error, count, untilMs: this.#options.clock.monotonicMs() + pauseMs };
    this.#options.log('vault_login_failed', { reason: error.reason, pause_ms: pauseMs });
  }

  /** Starts to use a lease whose life began, at the latest, at `startedMs`. */
  #take(lease: Lease, startedMs: number): void {
    this.#lease = lease;
    this.#isEnded = false;
    this.#endsMs = lease.ttlS === 0 ? Infinity : startedMs + lease.ttlS * 1000;
    this.#schedule();
  }

  /** Renews at two thirds of what is left. A token that was given and cannot be renewed is used until it ends. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const leftMs = this.#endsMs - this.#options.clock.monotonicMs();
    const canGoOn = this.#lease.isRenewable || this.#options.auth.kind === 'approle';
    if (this.#isClosed || leftMs === Infinity || leftMs <= 0 || !canGoOn) return;
    const delayMs = Math.min(timerMaxMs, Math.max(renewMinMs, (leftMs * 2) / 3));
    this.#timer = setTimeout(() => void this.#renew(), delayMs).unref();
  }

  async #renew(): Promise<void> {
    const { auth, send, clock, log } = this.#options;
    const before = this.#lease;
    const startedMs = clock.monotonicMs();
    try {
      const after = before.isRenewable ? await renew(send, before) : undefined;
      // Near the end of the longest life that Vault gives a token, a renewal gives less and less.
      const isAtEnd = after === undefined || after.ttlS < before.ttlS / 2;
      if (isAtEnd && auth.kind === 'approle') {
        await this.#logInOnce();
      } else if (after !== undefined && this.#lease === before) {
        this.#take(after, startedMs);
        log('vault_token_renewed', { ttl_s: after.ttlS });
      }
    } catch (error) {
      log('vault_token_not_renewed', { error });
      if (isVaultFailure(error, 'denied')) await this.replace(before.token).catch(() => undefined);
      else this.#schedule();
    }
  }
}
