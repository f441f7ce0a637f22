/** The mark in the KV store of Vault: the contract of every mark, and what may go wrong with the store. */

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../../../src/domain/error.ts';
import type { VaultClient } from '../../../../src/platform/keys/vault/client.ts';
import { vaultFailure } from '../../../../src/platform/keys/vault/failure.ts';
import { createVaultMark } from '../../../../src/platform/keys/vault/vault-mark.ts';
import { sha256Hex } from '../../../../src/proof/hash.ts';
import { markContract, markValue } from '../../../contract/mark.ts';
import { realPartsMissing, testOpenBao } from '../../../support/services.ts';
import { connectTestVault } from '../../../support/vault-client.ts';

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof AppError ? `${error.code} ${error.reason}` : String(error)),
  );
}

describe('the mark in a real OpenBao', function () {
  this.timeout(60_000);
  let client: VaultClient;
  let root: VaultClient;
  const clients: VaultClient[] = [];
  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    const service = await testOpenBao();
    client = await connectTestVault(service);
    root = await connectTestVault(service, 'root');
    clients.push(client, root);
  });
  after(() => {
    for (const each of clients) each.close();
  });

  markContract('the mark in Vault', () =>
    Promise.resolve({
      open: (origin) => Promise.resolve(createVaultMark({ client, origin })),
      stop: () => Promise.resolve(),
    }),
  );

  /** A mark with a value, and where it lies. */
  async function setup() {
    const origin = `audit.example/Writ+${randomUUID()}`;
    const mark = createVaultMark({ client, origin });
    await mark.write(undefined, markValue(3));
    const name = origin.toLowerCase().replace(/[^a-z0-9]+/g, '-');
    return { mark, origin, place: `writ/marks/${name.slice(0, 60)}-${sha256Hex(origin)}` };
  }

  it('is one secret, named by the origin', async () => {
    const { origin, place } = await setup();
    const stored = (await root.read(`kv/data/${place}`)) as { data: unknown };
    expect(stored.data).to.deep.equal({ log: origin, ...markValue(3) });
  });

  it('fails with unavailable, and says what to do, where the value is damaged', async () => {
    const { mark, origin, place } = await setup();
    const good = { log: origin, ...markValue(3) };
    const damaged = [
      {},
      { ...good, size: -3 },
      { ...good, size: 3.5 },
      { ...good, size: '3' },
      { ...good, log: 'another/log' },
      { ...good, root: 'AAAA' },
      { ...good, root: null },
    ];
    for (const data of damaged) {
      await root.write(`kv/data/${place}`, { data });
      expect(await reasonOf(mark.read()), JSON.stringify(data)).to.equal('unavailable mark_damaged');
      expect(await reasonOf(mark.write(markValue(3), markValue(4)))).to.equal('unavailable mark_damaged');
    }
    await root.write(`kv/data/${place}`, { data: good });
    expect(await mark.read()).to.deep.equal(markValue(3));
    await mark.write(markValue(3), markValue(4));
  });

  it('reads as missing where it was deleted, and is not begun anew', async () => {
    const { mark, place } = await setup();
    await root.write(`kv/delete/${place}`, { versions: [1] });
    expect(await mark.read()).to.equal(undefined);
    expect(await reasonOf(mark.write(markValue(3), markValue(4)))).to.equal('conflict mark_moved');
    expect(await reasonOf(mark.write(undefined, markValue(4)))).to.equal('unavailable mark_unavailable');
    await root.write(`kv/undelete/${place}`, { versions: [1] });
    expect(await mark.read()).to.deep.equal(markValue(3));
  });

  it('says conflict to a writer whose mark was moved between its read and its write', async () => {
    const { mark, origin } = await setup();
    let isMoved = false;
    const slow: VaultClient = {
      ...plain(client),
      read: async (path) => {
        const answer = await client.read(path);
        if (!isMoved) await mark.write(markValue(3), markValue(5));
        isMoved = true;
        return answer;
      },
    };
    const late = createVaultMark({ client: slow, origin });
    expect(await reasonOf(late.write(markValue(3), markValue(4)))).to.equal('conflict mark_moved');
    expect(await mark.read()).to.deep.equal(markValue(5));
  });

  it('does not repeat a write whose answer was lost; the next read tells', async () => {
    const { mark, origin } = await setup();
    const repeated: unknown[] = [];
    const losing: VaultClient = {
      ...plain(client),
      write: async (path, body, options) => {
        repeated.push(options);
        await client.write(path, body, options);
        throw vaultFailure('timeout');
      },
    };
    const write = createVaultMark({ client: losing, origin }).write(markValue(3), markValue(4));
    expect(await reasonOf(write)).to.equal('unavailable vault_timeout');
    expect(repeated).to.deep.equal([{ isRepeatable: false }]);
    expect(await mark.read()).to.deep.equal(markValue(4));
  });

  it('takes no store of version 1, which has no check-and-set', async () => {
    const mount = `kv1-${randomUUID()}`;
    await root.write(`sys/mounts/${mount}`, { type: 'kv', options: { version: '1' } });
    const mark = createVaultMark({ client: root, mount, origin: 'x' });
    expect(await reasonOf(mark.write(undefined, markValue(1)))).to.equal('unavailable mark_unavailable');
    expect(await reasonOf(mark.read())).to.equal('unavailable mark_unavailable');
  });

  it('fails with unavailable where it may not read or write', async () => {
    const mark = createVaultMark({ client, prefix: 'another/place', origin: 'x' });
    expect(await reasonOf(mark.read())).to.equal('unavailable vault_denied');
    for (const kind of ['denied', 'sealed', 'notFound'] as const) {
      const error = vaultFailure(kind);
      const refusing = { ...plain(client), write: () => Promise.reject(error) };
      const refused = createVaultMark({ client: refusing, origin: randomUUID() });
      expect(await reasonOf(refused.write(undefined, markValue(1)))).to.equal(`unavailable ${error.reason}`);
    }
  });

  it('refuses a value that is no mark', async () => {
    const { mark } = await setup();
    for (const value of [
      { size: -1, root: markValue(1).root },
      { size: 4, root: 'x' },
    ]) {
      expect(await reasonOf(mark.write(markValue(3), value))).to.equal('invalid mark_invalid');
    }
  });

  it('gives long and strange origins places of their own', async () => {
    const origins = ['a'.repeat(400), `${'a'.repeat(399)}b`, '../../sys/seal', 'ä/ö', 'ö/ä', 'A.1', 'a.1', 'a-1'];
    const run = randomUUID();
    for (const [i, name] of origins.entries()) {
      const mark = createVaultMark({ client, origin: name + run });
      expect(await mark.read(), name).to.equal(undefined);
      await mark.write(undefined, markValue(i));
    }
    for (const [i, name] of origins.entries()) {
      expect(await createVaultMark({ client, origin: name + run }).read()).to.deep.equal(markValue(i));
    }
  });

  it('takes no mount and no prefix that could lead to another path', () => {
    for (const options of [{ mount: 'a/b' }, { mount: '' }, { prefix: 'a/../b' }, { prefix: '/a' }, { prefix: '' }]) {
      expect(() => createVaultMark({ client, origin: 'x', ...options })).to.throw(AppError);
    }
  });
});

/** The methods of a client, to replace one of them. */
function plain(client: VaultClient): VaultClient {
  return {
    read: (path) => client.read(path),
    write: (path, body, options) => client.write(path, body, options),
    status: () => client.status(),
    close: () => {
      client.close();
    },
  };
}
