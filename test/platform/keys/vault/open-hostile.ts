/** A client of a hostile server, with what the tests look at. */

import { inspect } from 'node:util';
import { expect } from 'chai';
import type { Clock } from '../../../../src/domain/clock.ts';
import { AppError } from '../../../../src/domain/error.ts';
import { openVault, type VaultClient, type VaultOptions } from '../../../../src/platform/keys/vault/client.ts';
import { canary, startHostileVault, type HostileVault } from './hostile-vault.ts';

/** Real time, and what the test adds to it. */
export interface SteppedClock extends Clock {
  step(ms: number): void;
}

export function steppedClock(): SteppedClock {
  let offsetMs = 0;
  return {
    now: () => Date.now() + offsetMs,
    monotonicMs: () => performance.now() + offsetMs,
    step: (ms) => {
      offsetMs += ms;
    },
  };
}

/** Time that passes only when the test says so. */
export function stillClock(): SteppedClock {
  let nowMs = 0;
  return {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    step: (ms) => {
      nowMs += ms;
    },
  };
}

export interface Setup {
  vault: HostileVault;
  client: VaultClient;
  clock: SteppedClock;
  /** Lines of the log. */
  logged: { event: string; fields: Record<string, unknown> }[];
}

export const approle = { kind: 'approle', roleId: 'role', secretId: canary.secretId } as const;

const open = { openInitialMs: 1000, openMaxMs: 8000 };

/** Long enough for a machine that is busy with other things. */
export const timeouts = { connectMs: 30_000, totalMs: 30_000, patienceMs: 60_000, ...open };

/** Short enough to be waited for, in tests of servers that let wait. */
export const shortTimeouts = { connectMs: 1000, totalMs: 1000, patienceMs: 1200, ...open };

export function optionsFor(vault: HostileVault, changes: Partial<VaultOptions> = {}): VaultOptions {
  return {
    address: vault.address,
    caPem: vault.caPem,
    auth: approle,
    clock: steppedClock(),
    random: () => 0.5,
    timeouts,
    log: () => undefined,
    ...changes,
  };
}

/** Calls with a client that has logged in, and ends client and server afterwards. */
export async function withHostile(
  use: (setup: Setup) => Promise<void>,
  changes: Partial<VaultOptions> = {},
  prepare: (vault: HostileVault) => void = () => undefined,
): Promise<void> {
  const vault = await startHostileVault();
  prepare(vault);
  const clock = steppedClock();
  const logged: Setup['logged'] = [];
  try {
    const log: VaultOptions['log'] = (event, fields) => logged.push({ event, fields });
    const client = await openVault(optionsFor(vault, { clock, log, ...changes }));
    try {
      await use({ vault, client, clock, logged });
      expectNoCanary(logged);
    } finally {
      client.close();
    }
  } finally {
    await vault.stop();
  }
}

/** The failure of a call, after a look at everything that it says. */
export async function failureOf(call: Promise<unknown>): Promise<AppError> {
  const error = await call.then(
    (value) => expect.fail(`succeeded: ${inspect(value)}`),
    (reason: unknown) => reason,
  );
  expectNoCanary(error);
  if (!(error instanceof AppError)) throw error;
  return error;
}

/** `code reason` of the failure of a call. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  const { code, reason } = await failureOf(call);
  return `${code} ${reason}`;
}

/** Fails where any of the secrets is in what anybody could print of a value. */
export function expectNoCanary(value: unknown): void {
  const texts = [inspect(value, { depth: 10, showHidden: true, getters: true }), JSON.stringify(value), String(value)];
  for (let error = value; error instanceof Error; error = error.cause) texts.push(error.stack ?? '', error.message);
  for (const text of texts) expect(text).not.to.match(/CANARY/);
}
