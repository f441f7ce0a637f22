/** Tokens: got once, renewed in time, replaced once however many calls need it, and seen nowhere. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openVault } from '../../../../src/platform/keys/vault/client.ts';
import { canary, good, hang, refuse, sendJson, startHostileVault, type HostileVault } from './hostile-vault.ts';
import { approle, failureOf, optionsFor, reasonOf, shortTimeouts, stillClock, withHostile } from './open-hostile.ts';

const login = 'auth/approle/login';
const lookup = 'auth/token/lookup-self';
const renewal = 'auth/token/renew-self';
const givenToken = { kind: 'token', token: canary.token } as const;

/** Resolves when the server has seen so many requests at a path; mocha's time-out is the bound. */
async function seen(vault: HostileVault, path: string, count: number): Promise<void> {
  while (vault.count(path) < count) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('the session with Vault', function () {
  this.timeout(60_000);

  it('logs in once for 1,000 calls whose token has ended', () =>
    withHostile(async ({ client, vault }) => {
      await client.read('kv/data/x');
      vault.endTokens();
      await Promise.all(Array.from({ length: 1000 }, () => client.read('kv/data/x')));
      expect(vault.count(login)).to.equal(2);
      // One after each login, and one after the first call that was denied.
      expect(vault.count(lookup)).to.equal(3);
      expect(vault.count('kv/data/x')).to.be.at.most(1 + 2000);
    }));

  it('asks nothing more for a call that learns later than others that its token has ended', () =>
    withHostile(async ({ client, vault }) => {
      vault.endTokens();
      const late = new Promise<() => void>((resolve) => {
        vault.behaviour = (request, response) => {
          vault.behaviour = good;
          resolve(() => refuse(403)(request, response));
        };
      });
      const call = client.read('kv/data/late');
      const deny = await late;
      await client.read('kv/data/x');
      const lookups = vault.count(lookup);
      deny();
      expect(await call).to.include({ path: 'kv/data/late' });
      expect([vault.count(lookup), vault.count(login)]).to.deep.equal([lookups, 2]);
    }));

  it('tells a denied call from a token that ended, and does not log in for it', () =>
    withHostile(async ({ client, vault }) => {
      vault.behaviour = refuse(403);
      const reasons = await Promise.all(Array.from({ length: 50 }, () => reasonOf(client.read('kv/data/x'))));
      expect(new Set(reasons)).to.deep.equal(new Set(['forbidden vault_denied']));
      expect(vault.count(login)).to.equal(1);
    }));

  it('repeats a denied call once only', () =>
    withHostile(async ({ client, vault }) => {
      vault.behaviour = refuse(403);
      vault.endTokens();
      expect(await reasonOf(client.read('kv/data/x'))).to.equal('forbidden vault_denied');
      expect(vault.count('kv/data/x')).to.equal(2);
      expect(vault.count(login)).to.equal(2);
    }));

  it('takes a denial as it is while the token may not ask about itself', () =>
    withHostile(
      async ({ client, vault }) => {
        vault.behaviour = refuse(403);
        expect(await reasonOf(client.read('kv/data/x'))).to.equal('forbidden vault_denied');
        expect(vault.count(login)).to.equal(1);
      },
      {},
      (vault) => vault.authBehaviours.set(lookup, refuse(403)),
    ));

  it('stops calling with a token that was given and has ended, and says what to do', () => {
    const clock = stillClock();
    return withHostile(
      async ({ client, vault }) => {
        expect(await client.read('kv/data/x')).to.include({ path: 'kv/data/x' });
        vault.behaviour = (request, response) =>
          (request.path === 'sys/health' ? good : refuse(403))(request, response);
        vault.authBehaviours.set(lookup, refuse(403));
        const error = await failureOf(client.read('kv/data/x'));
        expect(error.reason).to.equal('vault_login_failed');
        expect(error.message).to.match(/Set a new VAULT_TOKEN/);
        const requests = vault.seen.length;
        const calls = Array.from({ length: 100 }, () => reasonOf(client.read('kv/data/x')));
        expect(new Set(await Promise.all(calls))).to.deep.equal(new Set(['unavailable vault_login_failed']));
        expect(vault.seen.length).to.equal(requests);
        expect((await client.status()).detail).to.match(/^Vault does not take/);
        vault.authBehaviours.clear();
        clock.step(60_000);
        expect(await reasonOf(client.read('kv/data/x'))).to.equal('forbidden vault_denied');
      },
      { auth: givenToken, clock },
    );
  });

  it('does not go on to log in with credentials that are refused', () => {
    const clock = stillClock();
    return withHostile(
      async ({ client, vault }) => {
        vault.endTokens();
        vault.authBehaviours.set(login, refuse(400, 'invalid role or secret ID'));
        for (const [pauseMs, logins] of [
          [0, 2],
          [999, 2],
          [1, 3],
          [1999, 3],
          [1, 4],
        ] as const) {
          clock.step(pauseMs);
          const calls = Array.from({ length: 50 }, () => reasonOf(client.read('kv/data/x')));
          expect(new Set(await Promise.all(calls))).to.deep.equal(new Set(['unavailable vault_login_failed']));
          expect(vault.count(login), `after ${pauseMs.toString()} ms`).to.equal(logins);
        }
        vault.authBehaviours.clear();
        clock.step(60_000);
        expect(await client.read('kv/data/x')).to.include({ path: 'kv/data/x' });
      },
      { clock },
    );
  });

  for (const [status, what] of [
    [400, 'a wrong secret id'],
    [403, 'a role that is locked'],
    [404, 'a mount that is not there'],
  ] as const) {
    it(`fails at once for ${what}`, async () => {
      const vault = await startHostileVault();
      vault.authBehaviours.set(login, refuse(status));
      expect(await reasonOf(openVault(optionsFor(vault)))).to.equal('unavailable vault_login_failed');
      expect(vault.count(login)).to.equal(1);
      await vault.stop();
    });
  }

  it('fails at once for a token that Vault does not know, and for answers that are no login', async () => {
    const vault = await startHostileVault();
    const auth = { kind: 'token', token: `${canary.token}-unknown` } as const;
    expect(await reasonOf(openVault(optionsFor(vault, { auth })))).to.equal('unavailable vault_login_failed');
    for (const body of [
      {},
      { auth: null },
      { auth: { client_token: canary.token } },
      { auth: { client_token: `${canary.token}\r\nx: y`, lease_duration: 1 } },
      { auth: { client_token: canary.token, lease_duration: -1 } },
    ]) {
      vault.authBehaviours.set(login, (_, response) => sendJson(response, 200, body));
      expect(await reasonOf(openVault(optionsFor(vault)))).to.equal('unavailable vault_answer_invalid');
    }
    await vault.stop();
  });

  it('renews at two thirds of the life, with time to spare', () =>
    withHostile(
      async ({ vault, logged }) => {
        const startedMs = performance.now();
        await seen(vault, renewal, 1);
        expect(performance.now() - startedMs).to.be.within(1000, 1950);
        await seen(vault, renewal, 2);
        expect(vault.count(login)).to.equal(1);
        expect(logged.map(({ event }) => event).slice(0, 2)).to.deep.equal(['vault_logged_in', 'vault_token_renewed']);
      },
      {},
      (vault) => (vault.ttlS = 2),
    ));

  it('tries a renewal again that failed, and logs in where the token had ended', () =>
    withHostile(
      async ({ vault, logged }) => {
        vault.authBehaviours.set(renewal, refuse(400));
        await seen(vault, renewal, 1);
        vault.endTokens();
        vault.authBehaviours.delete(renewal);
        await seen(vault, renewal, 2);
        await seen(vault, login, 2);
        const failed = logged.find(({ event }) => event === 'vault_token_not_renewed');
        expect(failed?.fields).to.have.nested.property('error.details.reason', 'vault_refused');
      },
      {},
      (vault) => (vault.ttlS = 2),
    ));

  it('does not go back to a token that was renewed while another took its place', () =>
    withHostile(
      async ({ client, vault }) => {
        const renewed = new Promise<() => void>((resolve) => {
          vault.authBehaviours.set(renewal, (_, response) => {
            vault.authBehaviours.delete(renewal);
            resolve(() => sendJson(response, 200, { auth: { client_token: 'x', lease_duration: 3600 } }));
          });
        });
        const answerRenewal = await renewed;
        vault.endTokens();
        vault.ttlS = 3600;
        await client.read('kv/data/x');
        answerRenewal();
        await client.status();
        await client.read('kv/data/y');
        expect([vault.count('kv/data/y'), vault.count(login)]).to.deep.equal([1, 2]);
      },
      {},
      (vault) => (vault.ttlS = 1),
    ));

  it('logs in anew in time for tokens that cannot be renewed, and for those near their longest life', () =>
    withHostile(
      async ({ vault }) => {
        await seen(vault, login, 2);
        expect(vault.count(renewal)).to.equal(0);
        vault.isRenewable = true;
        await seen(vault, login, 3);
        vault.authBehaviours.set(renewal, (_, response) =>
          sendJson(response, 200, { auth: { client_token: 'x', lease_duration: 0, renewable: true } }),
        );
        await seen(vault, renewal, 1);
        await seen(vault, login, 4);
      },
      {},
      (vault) => {
        vault.ttlS = 1;
        vault.isRenewable = false;
      },
    ));

  it('renews nothing after it was closed', async () => {
    const vault = await startHostileVault();
    vault.ttlS = 1;
    const logged: string[] = [];
    const client = await openVault(optionsFor(vault, { log: (event) => logged.push(event) }));
    while (!logged.includes('vault_token_renewed')) await new Promise((resolve) => setTimeout(resolve, 5));
    client.close();
    const [renewals, lines] = [vault.count(renewal), logged.length];
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect([vault.count(renewal), logged.length]).to.deep.equal([renewals, lines]);
    await vault.stop();
  });

  it('hangs on no login for longer than a call may take', async () => {
    const vault = await startHostileVault();
    vault.authBehaviours.set(login, hang);
    const startedMs = performance.now();
    expect(await reasonOf(openVault(optionsFor(vault, { timeouts: shortTimeouts })))).to.equal(
      'unavailable vault_timeout',
    );
    expect(performance.now() - startedMs).to.be.below(shortTimeouts.patienceMs + 2000);
    await vault.stop();
  });

  it('names the namespace with every call but the one that has none', () =>
    withHostile(
      async ({ client, vault }) => {
        await client.read('kv/data/x');
        await client.status();
        const namespaces = vault.seen.map(({ path, headers }) => [path, headers['x-vault-namespace']]);
        expect(namespaces).to.deep.equal([
          [login, 'team/a'],
          [lookup, 'team/a'],
          ['kv/data/x', 'team/a'],
          ['sys/health', undefined],
        ]);
      },
      { namespace: 'team/a' },
    ));
});

describe('a wrapped secret id', () => {
  const path = 'auth/approle/role/writ-orchestrator/secret-id';
  const wrapped = (creationPath?: string) => ({
    ...approle,
    secretId: { wrappedSecretId: canary.wrappedSecretId, ...(creationPath === undefined ? {} : { creationPath }) },
  });

  for (const creationPath of [undefined, path]) {
    it(`is unwrapped once, where it was made ${creationPath === undefined ? 'for a role' : 'at the very path'}`, () =>
      withHostile(
        async ({ client, vault }) => {
          vault.endTokens();
          await client.read('kv/data/x');
          expect(vault.count(login)).to.equal(2);
          const wrapping = vault.seen.filter((request) => request.path.startsWith('sys/wrapping/'));
          expect(wrapping.map((request) => request.path)).to.deep.equal(['sys/wrapping/lookup', 'sys/wrapping/unwrap']);
          expect(wrapping[1]?.headers['x-vault-token']).to.equal(canary.wrappedSecretId);
        },
        { auth: wrapped(creationPath) },
      ));
  }

  it('is refused, and not unwrapped, where it was made for something else', async () => {
    const vault = await startHostileVault();
    for (const [madeAt, creationPath] of [
      ['auth/approle/role/other/secret-id', path],
      ['auth/other/role/writ-orchestrator/secret-id', undefined],
      ['auth/approle/role/a/b/secret-id', undefined],
      ['sys/wrapping/wrap', undefined],
      [undefined, undefined],
    ] as const) {
      vault.authBehaviours.set('sys/wrapping/lookup', (_, response) =>
        sendJson(response, 200, { data: { creation_path: madeAt } }),
      );
      const error = await failureOf(openVault(optionsFor(vault, { auth: wrapped(creationPath) })));
      expect(error.reason).to.equal('vault_login_failed');
      expect(error.message).to.match(/^The wrapped secret id cannot be unwrapped/);
    }
    expect(vault.count('sys/wrapping/unwrap')).to.equal(0);
    expect(vault.count(login)).to.equal(0);
    await vault.stop();
  });

  for (const at of ['sys/wrapping/lookup', 'sys/wrapping/unwrap']) {
    it(`is told from other failures where somebody unwrapped it before (${at})`, async () => {
      const vault = await startHostileVault();
      vault.authBehaviours.set(at, refuse(400, 'wrapping token is not valid or does not exist'));
      const error = await failureOf(openVault(optionsFor(vault, { auth: wrapped() })));
      expect(error.message).to.match(/unwrapped by somebody else/);
      expect(vault.count(at)).to.equal(1);
      await vault.stop();
    });
  }
});
