/** From a host to the very addresses that may be connected to: looked up once, checked, and used as they are. */

import { lookup as systemLookup } from 'node:dns/promises';
import { AppError } from '../domain/error.ts';
import type { Scope } from '../domain/scope.ts';
import { canonicalAddress, canonicalHost } from '../domain/target.ts';
import { addressOutside, unboundedScope } from './scope.ts';

export interface CheckedAddress {
  /** Canonical. */
  address: string;
  family: 4 | 6;
}

/** Looks up every address of a name, as the machine itself would. */
export type Lookup = (host: string) => Promise<readonly { address: string }[]>;

/** The machine's own resolver, its hosts file included. */
export const machineLookup: Lookup = (host) => systemLookup(host, { all: true, verbatim: true });

/** Lookup answers are believed up to so many addresses. */
const addressesMax = 64;

/**
 * The addresses of a host, each inside the scope. If one of them is outside, all are refused: an answer that mixes
 * them is what DNS rebinding looks like. Callers connect to these addresses and never look the name up again. Fails
 * `forbidden` (`scope_target`), `invalid` (`host_invalid`) and `unavailable` (`host_not_found`, `lookup_failed`).
 */
export async function resolveInScope(
  scope: Scope | undefined,
  host: string,
  options: { lookup?: Lookup | undefined; allowPrivate: boolean },
): Promise<CheckedAddress[]> {
  const canonical = canonicalHost(host);
  if ('problem' in canonical) throw new AppError('invalid', canonical.problem, { reason: 'host_invalid' });
  const found =
    canonical.family === 0
      ? await lookUp(canonical.host, options.lookup ?? machineLookup)
      : [{ address: canonical.host }];
  const checked: CheckedAddress[] = [];
  for (const entry of found) {
    const outside = addressOutside(scope ?? unboundedScope, canonical.host, entry, options.allowPrivate);
    if (outside !== undefined) {
      throw new AppError('forbidden', `${canonical.host} may not be reached: ${outside}`, { reason: 'scope_target' });
    }
    const address = canonicalAddress(entry.address);
    if ('problem' in address || checked.some((known) => known.address === address.host)) continue;
    checked.push({ address: address.host, family: address.family === 4 ? 4 : 6 });
  }
  return checked;
}

async function lookUp(host: string, lookup: Lookup): Promise<readonly { address: string }[]> {
  let found: readonly { address: string }[];
  try {
    found = await lookup(host);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOTFOUND' || code === 'ENODATA') throw notFound(host, cause);
    throw new AppError('unavailable', `looking up ${host} failed`, { reason: 'lookup_failed' }, cause);
  }
  if (found.length === 0) throw notFound(host, undefined);
  if (found.length > addressesMax) {
    throw new AppError('unavailable', `${host} has too many addresses`, { reason: 'lookup_failed' });
  }
  return found;
}

function notFound(host: string, cause: unknown): AppError {
  return new AppError('unavailable', `${host} has no address`, { reason: 'host_not_found' }, cause);
}
