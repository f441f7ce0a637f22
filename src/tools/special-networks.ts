/** Networks that are not the public internet: what no principal reaches by a name rule or by default. */

import { BlockList } from 'node:net';
import type { Network } from '../domain/target.ts';

/** IANA special-purpose registries (RFC 6890), without the documentation networks, which lead nowhere. */
const special: readonly (readonly [base: string, prefix: number, what: string])[] = [
  ['127.0.0.0', 8, 'a loopback address'],
  ['::1', 128, 'a loopback address'],
  ['10.0.0.0', 8, 'a private address'],
  ['172.16.0.0', 12, 'a private address'],
  ['192.168.0.0', 16, 'a private address'],
  ['fc00::', 7, 'a private address'],
  ['fec0::', 10, 'a private address'],
  ['100.64.0.0', 10, 'a shared address'],
  ['169.254.0.0', 16, 'a link-local or metadata address'],
  ['fe80::', 10, 'a link-local address'],
  ['0.0.0.0', 8, 'an address of this host'],
  ['192.0.0.0', 24, 'a protocol address'],
  ['198.18.0.0', 15, 'a benchmarking address'],
  ['224.0.0.0', 4, 'a multicast address'],
  ['ff00::', 8, 'a multicast address'],
  ['240.0.0.0', 4, 'a reserved address'],
  ['::', 96, 'an unspecified or IPv4-compatible address'],
  ['::ffff:0:0', 96, 'an IPv4-mapped address'],
  ['::ffff:0:0:0', 96, 'an IPv4-translated address'],
  ['192.88.99.0', 24, 'a 6to4 relay address'],
  // These carry an IPv4 address inside, which may be any of the above.
  ['64:ff9b::', 96, 'a translated IPv4 address'],
  ['64:ff9b:1::', 48, 'a translated IPv4 address'],
  ['2002::', 16, 'a 6to4 address'],
  ['2001::', 32, 'a Teredo address'],
];

/** A network that addresses and networks can be looked for in. */
export interface NetworkMatcher {
  network: Network;
  /** Whether the whole of `inner` lies in it. */
  holds(inner: Network): boolean;
}

/** Families are kept apart: `BlockList` itself would find an IPv4 address in `::/0`. */
export function networkMatcher(network: Network): NetworkMatcher {
  const list = new BlockList();
  const type = network.family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(network.host, network.prefix, type);
  return {
    network,
    holds: (inner) => inner.family === network.family && inner.prefix >= network.prefix && list.check(inner.host, type),
  };
}

const matchers = special.map(([host, prefix, what]) => ({
  what,
  matcher: networkMatcher({ host, family: host.includes(':') ? 6 : 4, prefix }),
}));

/** What kind of special addresses a network (or single address) is, or has some of; undefined where all is public. */
export function specialPart(network: Network): string | undefined {
  const single = network.prefix === (network.family === 4 ? 32 : 128);
  const own = single ? undefined : networkMatcher(network);
  return matchers.find(({ matcher }) => matcher.holds(network) || own?.holds(matcher.network) === true)?.what;
}
