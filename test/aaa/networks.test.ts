/** Networks that a credential may be used from. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { isInNetworks, isNetwork, isNetworkWithin } from '../../src/aaa/networks.ts';

describe('networks of a credential', () => {
  it('let any address in where there are none', () => {
    expect(isInNetworks('203.0.113.1', [])).to.equal(true);
    expect(isInNetworks(null, [])).to.equal(true);
  });

  it('keep an address out that is not known or not one', () => {
    for (const ip of [null, '', 'localhost', '10.0.0', '10.0.0.1 '])
      expect(isInNetworks(ip, ['0.0.0.0/0', '::/0']), String(ip)).to.equal(false);
  });

  it('hold their first and last address and no neighbour', () => {
    const networks = ['192.0.2.64/26', '2001:db8::/32', '198.51.100.7'];
    const inside = ['192.0.2.64', '192.0.2.127', '2001:db8::', '2001:db8:ffff::1', '198.51.100.7'];
    const outside = ['192.0.2.63', '192.0.2.128', '2001:db7:ffff::1', '2001:db9::', '198.51.100.6', '198.51.100.8'];
    for (const ip of inside) expect(isInNetworks(ip, networks), ip).to.equal(true);
    for (const ip of outside) expect(isInNetworks(ip, networks), ip).to.equal(false);
  });

  it('know an IPv4 address in the form that a listener for both families tells', () => {
    expect(isInNetworks('::ffff:192.0.2.1', ['192.0.2.0/24'])).to.equal(true);
    expect(isInNetworks('::ffff:192.0.3.1', ['192.0.2.0/24'])).to.equal(false);
  });

  it('of IPv4 hold no IPv6 address', () => {
    expect(isInNetworks('::1', ['0.0.0.0/0'])).to.equal(false);
    expect(isInNetworks('64:ff9b::a00:1', ['10.0.0.0/8'])).to.equal(false);
  });

  it('lie within others whose every address they share', () => {
    expect(isNetworkWithin('10.1.0.0/16', ['10.0.0.0/8'])).to.equal(true);
    expect(isNetworkWithin('10.1.2.3', ['10.1.2.3'])).to.equal(true);
    expect(isNetworkWithin('10.0.0.0/8', ['10.0.0.0/16'])).to.equal(false);
    expect(isNetworkWithin('11.0.0.0/8', ['10.0.0.0/8', '11.0.0.0/7'])).to.equal(true);
    expect(isNetworkWithin('2001:db8::1', ['2001:db8::/32'])).to.equal(true);
    expect(isNetworkWithin('::/0', ['0.0.0.0/0'])).to.equal(false);
    expect(isNetworkWithin('10.0.0.0/8', ['::/0'])).to.equal(false);
    expect(isNetworkWithin('10.0.0.0/8', [])).to.equal(true);
  });

  it('that lie within others hold no address that these do not', () => {
    const number = fc.integer({ min: 0, max: 0xffffffff });
    const bits = fc.integer({ min: 0, max: 32 });
    const dotted = (of: number): string => [24, 16, 8, 0].map((shift) => (of >>> shift) & 255).join('.');
    const maskOf = (width: number): number => (width === 0 ? 0 : (~0 << (32 - width)) >>> 0);
    fc.assert(
      fc.property(number, bits, fc.nat(4), number, (base, outerBits, narrower, host) => {
        const innerBits = Math.min(32, outerBits + narrower);
        const outer = `${dotted((base & maskOf(outerBits)) >>> 0)}/${outerBits}`;
        const inner = `${dotted((base & maskOf(innerBits)) >>> 0)}/${innerBits}`;
        const address = dotted(((base & maskOf(innerBits)) | (host & ~maskOf(innerBits))) >>> 0);
        expect(isNetworkWithin(inner, [outer])).to.equal(true);
        expect(isInNetworks(address, [inner])).to.equal(true);
        expect(isInNetworks(address, [outer])).to.equal(true);
        expect(isNetworkWithin(outer, [inner])).to.equal(innerBits === outerBits);
      }),
      { numRuns: 300 },
    );
  });

  it('are written as addresses or with a length that their family has', () => {
    for (const text of ['10.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '10.0.0.0/32', '::1', '::/0', '2001:db8::/128'])
      expect(isNetwork(text), text).to.equal(true);
    for (const text of [
      '',
      '/8',
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '10.0.0.0/-1',
      '10.0.0/8',
      'a/8',
    ])
      expect(isNetwork(text), text).to.equal(false);
  });
});
