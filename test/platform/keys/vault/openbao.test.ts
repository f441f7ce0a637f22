/** The client on a real OpenBao: logins, ends of tokens, and a seal. */

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { afterEach, before, describe, it } from 'mocha';
import { systemClock } from '../../../../src/domain/clock.ts';
import { openVault, type VaultClient, type VaultOptions } from '../../../../src/platform/keys/vault/client.ts';
import type { OpenBaoService } from '../../../../scripts/services/openbao.ts';
import { realPartsMissing, testOpenBao } from '../../../support/services.ts';
import { connectTestVault } from '../../../support/vault-client.ts';
import { failureOf, reasonOf } from './open-hostile.ts';

describe('the Vault client on a real OpenBao', function () {
  this.timeout(60_000);
  let service: OpenBaoService;
  const clients: VaultClient[] = [];
  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await testOpenBao();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  async function open(auth: VaultOptions['auth'], logged: string[] = []): Promise<VaultClient> {
    const caPem = readFileSync(service.caPath, 'utf8');
    const log = (event: string) => logged.push(event);
    const options = { address: service.url, caPem, auth, clock: systemClock, random: Math.random, log };
    const client = await openVault({ ...options, timeouts: { openInitialMs: 50, openMaxMs: 100 } });
    clients.push(client);
    return client;
  }

  it('logs in with a wrapped secret id, which then is worth nothing to anybody', async () => {
    const wrappedSecretId = await service.newWrappedSecretId();
    const auth = { kind: 'approle', roleId: service.roleId, secretId: { wrappedSecretId } } as const;
    expect(await (await open(auth)).status()).to.deep.equal({ ok: true });
    expect((await failureOf(open(auth))).message).to.match(/^The wrapped secret id cannot be unwrapped/);
  });

  it('takes no wrapped secret id that was made for another role', async () => {
    const wrappedSecretId = await service.newWrappedSecretId();
    const creationPath = 'auth/approle/role/another/secret-id';
    const auth = { kind: 'approle', roleId: service.roleId, secretId: { wrappedSecretId, creationPath } } as const;
    expect(await reasonOf(open(auth))).to.equal('unavailable vault_login_failed');
    const right = { wrappedSecretId, creationPath: 'auth/approle/role/writ-orchestrator/secret-id' };
    expect(await (await open({ ...auth, secretId: right })).status()).to.deep.equal({ ok: true });
  });

  it('tells wrong credentials from what its policy does not allow', async () => {
    const { roleId } = service;
    const wrong = { kind: 'approle', roleId, secretId: await service.newWrappedSecretId() } as const;
    expect(await reasonOf(open(wrong))).to.equal('unavailable vault_login_failed');
    const token = { kind: 'token', token: 's.nobody' } as const;
    expect(await reasonOf(open(token))).to.equal('unavailable vault_login_failed');
    const client = await open({ kind: 'approle', roleId, secretId: await service.newSecretId() });
    expect(await reasonOf(client.read('sys/policy'))).to.equal('forbidden vault_denied');
    expect(await reasonOf(client.write('transit/sign/writ-manifest', { input: '!' }))).to.equal(
      'invalid vault_refused',
    );
  });

  it('logs in once more, for all calls at once, where its token was revoked', async () => {
    const logged: string[] = [];
    const auth = { kind: 'approle', roleId: service.roleId, secretId: await service.newSecretId() } as const;
    const client = await open(auth, logged);
    const { accessor } = (await client.read('auth/token/lookup-self')) as { accessor: string };
    const root = await connectTestVault(service, 'root');
    clients.push(root);
    await root.write('auth/token/revoke-accessor', { accessor });
    await Promise.all(Array.from({ length: 200 }, () => client.read('transit/keys/writ-log')));
    expect(logged).to.deep.equal(['vault_logged_in', 'vault_logged_in']);
  });

  it('tells a sealed server from others, and goes on by itself when it is unsealed', async () => {
    const auth = { kind: 'approle', roleId: service.roleId, secretId: await service.newSecretId() } as const;
    const client = await open(auth);
    await service.seal();
    try {
      expect(await reasonOf(client.read('transit/keys/writ-log'))).to.equal('unavailable vault_sealed');
      expect((await client.status()).detail).to.match(/^Vault is sealed/);
      expect(await reasonOf(open(auth))).to.equal('unavailable vault_sealed');
    } finally {
      await service.unseal();
    }
    // Bounded by the time-out of the test.
    while (!(await client.status()).ok) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await client.read('transit/keys/writ-log')).to.have.property('type', 'ed25519');
  });
});
