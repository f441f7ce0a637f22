/** Networks that a credential may be used from. */

import { BlockList, isIP } from 'node:net';

/** Whether an address lies in one of the networks; no network means any address. */
export function isInNetworks(ip: string | null, networks: readonly string[]): boolean {
  if (networks.length === 0) return true;
  if (ip === null) return false;
  const address = ip.startsWith('::ffff:') ? ip.slice('::ffff:'.length) : ip;
  const family = isIP(address);
  if (family === 0) return false;
  const list = new BlockList();
  for (const network of networks) {
    const [base = '', bits] = network.split('/');
    const type = isIP(base) === 6 ? 'ipv6' : 'ipv4';
    // The list itself would find an IPv4 address in ::/0.
    if (isIP(base) !== family) continue;
    list.addSubnet(base, bits === undefined ? (type === 'ipv6' ? 128 : 32) : Number(bits), type);
  }
  return list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** Whether every address of the inner network lies in one of the outer ones; no outer network means any address. */
export function isNetworkWithin(inner: string, outer: readonly string[]): boolean {
  if (outer.length === 0) return true;
  const [base = '', bits] = inner.split('/');
  const wide = isIP(base) === 6 ? 128 : 32;
  const innerBits = bits === undefined ? wide : Number(bits);
  return outer.some((network) => {
    const [outerBase = '', outerBits] = network.split('/');
    if (isIP(outerBase) !== isIP(base)) return false;
    return (outerBits === undefined ? wide : Number(outerBits)) <= innerBits && isInNetworks(base, [network]);
  });
}

/** Whether a text is an address or a CIDR network. */
export function isNetwork(text: string): boolean {
  const [base = '', bits, ...rest] = text.split('/');
  const family = isIP(base);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32));
}
