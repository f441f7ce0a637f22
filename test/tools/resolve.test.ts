/** From a host to addresses that may be connected to. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { scope as scopeSchema, type Scope } from '../../src/domain/scope.ts';
import { resolveInScope, type Lookup } from '../../src/tools/resolve.ts';

function scopeOf(...targets: string[]): Scope {
  return scopeSchema.parse({ name: 'lab', tools: ['*'], targets });
}

function answering(...addresses: string[]): Lookup {
  return () => Promise.resolve(addresses.map((address) => ({ address })));
}

async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AppError) return error.reason;
    throw error;
  }
  return 'none';
}

describe('resolveInScope', () => {
  it('gives the very addresses that were checked, canonical and each once', async () => {
    const lookup = answering('10.0.0.1', '::ffff:10.0.0.1', '10.0.0.2');
    const found = await resolveInScope(scopeOf('10.0.0.0/8'), 'db.example', { lookup, allowPrivate: false });
    expect(found).to.deep.equal([
      { address: '10.0.0.1', family: 4 },
      { address: '10.0.0.2', family: 4 },
    ]);
  });

  it('looks a name up once, and asks nobody about an address', async () => {
    let calls = 0;
    const lookup: Lookup = (host) => {
      calls += 1;
      expect(host).to.equal('xn--bcher-kva.example');
      return Promise.resolve([{ address: '8.8.8.8' }]);
    };
    await resolveInScope(undefined, 'Bücher.example.', { lookup, allowPrivate: false });
    await resolveInScope(undefined, '8.8.8.8', { lookup, allowPrivate: false });
    expect(calls).to.equal(1);
  });

  it('refuses a name one of whose addresses is outside, as in DNS rebinding', async () => {
    for (const outside of [
      '127.0.0.1',
      '169.254.169.254',
      '::1',
      '::ffff:127.0.0.1',
      '64:ff9b::7f00:1',
      'fe80::1%eth0',
    ]) {
      const lookup = answering('8.8.8.8', outside);
      const work = resolveInScope(undefined, 'rebind.example', { lookup, allowPrivate: false });
      expect(await reasonOf(work), outside).to.equal('scope_target');
    }
  });

  it('judges each look-up by itself when a name changes what it says', async () => {
    const answers = [['8.8.8.8'], ['127.0.0.1']];
    const lookup: Lookup = () => Promise.resolve((answers.shift() ?? []).map((address) => ({ address })));
    const options = { lookup, allowPrivate: false };
    expect(await reasonOf(resolveInScope(undefined, 'rebind.example', options))).to.equal('none');
    expect(await reasonOf(resolveInScope(undefined, 'rebind.example', options))).to.equal('scope_target');
  });

  it('does not let a name rule open private addresses by itself', async () => {
    const lookup = answering('10.0.0.1');
    const named = scopeOf('*.corp.example');
    const both = scopeOf('*.corp.example', '10.0.0.0/8');
    const host = 'db.corp.example';
    expect(await reasonOf(resolveInScope(named, host, { lookup, allowPrivate: false }))).to.equal('scope_target');
    expect(await reasonOf(resolveInScope(named, host, { lookup, allowPrivate: true }))).to.equal('none');
    expect(await reasonOf(resolveInScope(both, host, { lookup, allowPrivate: false }))).to.equal('none');
  });

  it('takes localhost in a scope for the loopback addresses and no others', async () => {
    const scope = scopeOf('localhost');
    const ask = (...addresses: string[]) =>
      reasonOf(resolveInScope(scope, 'localhost', { lookup: answering(...addresses), allowPrivate: false }));
    expect(await ask('127.0.0.1', '::1')).to.equal('none');
    expect(await ask('10.0.0.1')).to.equal('scope_target');
  });

  it('holds a name without a rule to the networks, public addresses included', async () => {
    const scope = scopeOf('10.0.0.0/8');
    const ask = (address: string) =>
      reasonOf(resolveInScope(scope, 'db.example', { lookup: answering(address), allowPrivate: true }));
    expect(await ask('10.9.9.9')).to.equal('none');
    expect(await ask('8.8.8.8')).to.equal('scope_target');
  });

  it('tells a name that is not there from a look-up that failed', async () => {
    const failing =
      (code: string): Lookup =>
      () =>
        Promise.reject(Object.assign(new Error(code), { code }));
    const ask = (lookup: Lookup) => reasonOf(resolveInScope(undefined, 'a.example', { lookup, allowPrivate: false }));
    expect(await ask(failing('ENOTFOUND'))).to.equal('host_not_found');
    expect(await ask(failing('EAI_AGAIN'))).to.equal('lookup_failed');
    expect(await ask(answering())).to.equal('host_not_found');
    expect(await ask(answering(...Array.from({ length: 65 }, (_, i) => `8.8.8.${i.toString()}`)))).to.equal(
      'lookup_failed',
    );
  });

  it('refuses hosts that are none', async () => {
    expect(await reasonOf(resolveInScope(undefined, '0x7f.1', { allowPrivate: true }))).to.equal('host_invalid');
  });
});
