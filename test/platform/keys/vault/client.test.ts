/** The client against servers that are none, are ill, or are somebody else's. */

import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError } from '../../../../src/domain/error.ts';
import { openVault } from '../../../../src/platform/keys/vault/client.ts';
import {
  answer,
  babble,
  canary,
  cutOff,
  drip,
  flood,
  good,
  hang,
  large,
  promise,
  redirectTo,
  refuse,
  startHostileVault,
  type Behaviour,
} from './hostile-vault.ts';
import {
  expectNoCanary,
  failureOf,
  optionsFor,
  reasonOf,
  shortTimeouts,
  stillClock,
  timeouts,
  withHostile,
} from './open-hostile.ts';

const json = 'application/json';

/** Fails where the call takes longer than all its tries may, with the short time-outs. */
async function inTime<T>(call: Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const [outcome] = await Promise.allSettled([call]);
  expect(performance.now() - startedMs).to.be.below(shortTimeouts.patienceMs + 2000);
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}

describe('the Vault client', function () {
  this.timeout(60_000);

  it('reads and writes data, and tells nothing from something', () =>
    withHostile(async ({ client, vault }) => {
      expect(await client.read('kv/data/x')).to.include({ path: 'kv/data/x' });
      expect(await client.read('kv/data/nothing')).to.equal(undefined);
      expect(await client.write('kv/data/x', { a: 1 })).to.include({ body: '{"a":1}' });
      vault.behaviour = (_, response) => response.writeHead(204).end();
      expect(await client.write('kv/data/x', {})).to.equal(undefined);
      expect(vault.seen.at(-1)?.headers).to.include({ 'x-vault-request': 'true', 'content-type': json });
    }));

  it('sends nothing to a path that could be another than it looks', () =>
    withHostile(async ({ client, vault }) => {
      const before = vault.seen.length;
      for (const path of ['', 'kv/../sys/seal', 'kv//x', '/kv', 'kv/', 'kv/x?a', 'kv/%2e', 'kv/a b', 'kv/é', 'a\n']) {
        expect(await reasonOf(client.read(path)), path).to.equal('invalid vault_name_invalid');
        expect(await reasonOf(client.write(path, {})), path).to.equal('invalid vault_name_invalid');
      }
      expect(vault.seen.length).to.equal(before);
    }));

  it('says whether Vault works', () =>
    withHostile(async ({ client, vault, clock }) => {
      expect(await client.status()).to.deep.equal({ ok: true });
      vault.behaviour = answer(json, '{"initialized":true,"sealed":true}');
      expect((await client.status()).detail).to.match(/^Vault is sealed/);
      vault.behaviour = good;
      clock.step(60_000);
      expect(await client.status()).to.deep.equal({ ok: true });
      client.close();
      expect((await client.status()).ok).to.equal(false);
      expect(await reasonOf(client.read('kv/data/x'))).to.equal('unavailable vault_closed');
    }));

  const failures: [name: string, behaviour: Behaviour, expected: string][] = [
    ['is sealed', refuse(503, 'Vault is sealed'), 'unavailable vault_sealed'],
    ['takes no more calls', refuse(429), 'unavailable vault_rate_limited'],
    ['fails', refuse(500), 'unavailable vault_failed'],
    ['is behind a proxy that finds it not', (_, r) => r.writeHead(502).end('<html>'), 'unavailable vault_failed'],
    ['hangs', hang, 'unavailable vault_timeout'],
    ['answers a byte at a time', drip, 'unavailable vault_timeout'],
    ['cuts its answers off', cutOff, 'unavailable vault_unreachable'],
    ['promises 10 MB', promise, 'unavailable vault_answer_invalid'],
    ['answers 10 MB', large, 'unavailable vault_answer_invalid'],
    ['answers without end', flood, 'unavailable vault_answer_invalid'],
    ['speaks another protocol', babble, 'unavailable vault_answer_invalid'],
    ['answers a page', answer('text/html', `<html>${canary.answered}`), 'unavailable vault_answer_invalid'],
    ['answers JSON that is called a page', answer('text/html', '{"data":{}}'), 'unavailable vault_answer_invalid'],
    ['answers half of JSON', answer(json, `{"data":"${canary.answered}`), 'unavailable vault_answer_invalid'],
    ['answers nothing', answer(json, ''), 'unavailable vault_answer_invalid'],
    ['answers no object', answer(json, '["data"]'), 'unavailable vault_answer_invalid'],
    ['answers a byte order mark', answer(json, '\ufeff{"data":{}}'), 'unavailable vault_answer_invalid'],
    ['answers no UTF-8', answer(json, Buffer.from('{"data":"\xff"}', 'latin1')), 'unavailable vault_answer_invalid'],
    ['denies', refuse(403), 'forbidden vault_denied'],
    ['refuses', refuse(400), 'invalid vault_refused'],
    ['knows no such method', refuse(405), 'invalid vault_refused'],
  ];
  for (const [name, behaviour, expected] of failures) {
    const letsWait = behaviour === hang || behaviour === drip;
    it(`fails where the server ${name}, ${letsWait ? 'in time, ' : ''}tells nothing of it, and works again afterwards`, () =>
      withHostile(
        async ({ client, vault, clock }) => {
          vault.behaviour = behaviour;
          const bounded = letsWait ? inTime : (call: Promise<string>) => call;
          expect(await bounded(reasonOf(client.write('kv/data/x', { secret: canary.sent })))).to.equal(expected);
          expect(await bounded(reasonOf(client.read('kv/data/x')))).to.equal(expected);
          vault.behaviour = good;
          clock.step(60_000);
          expect(await client.read('kv/data/x')).to.include({ path: 'kv/data/x' });
        },
        letsWait ? { timeouts: shortTimeouts } : {},
      ));
  }

  it('says not_found of a write to where nothing is', () =>
    withHostile(async ({ client }) => {
      expect(await reasonOf(client.write('kv/data/nothing', {}))).to.equal('not_found vault_not_found');
    }));

  for (const status of [301, 302, 303, 307, 308]) {
    it(`follows no redirect ${status.toString()}: the other server sees nothing`, async () => {
      const other = await startHostileVault();
      let connections = 0;
      const trap = createServer(() => {
        connections += 1;
      });
      trap.listen(0, '127.0.0.1');
      await once(trap, 'listening');
      const trapAddress = `http://127.0.0.1:${(trap.address() as AddressInfo).port.toString()}`;
      try {
        await withHostile(async ({ client, vault }) => {
          for (const address of [other.address, trapAddress]) {
            vault.behaviour = redirectTo(address, status);
            expect(await reasonOf(client.read('kv/data/x'))).to.equal('unavailable vault_redirected');
            expect(await reasonOf(client.write('kv/data/x', {}))).to.equal('unavailable vault_redirected');
          }
          expect(vault.count('kv/data/x')).to.equal(4);
        });
        expect(other.seen).to.deep.equal([]);
        expect(connections).to.equal(0);
      } finally {
        trap.close();
        await other.stop();
      }
    });
  }

  it('tries again what may pass, at most three times, and what cannot be repeated once', () =>
    withHostile(async ({ client, vault }) => {
      let failuresLeft = 2;
      vault.behaviour = (request, response) => {
        if (failuresLeft-- > 0) refuse(500)(request, response);
        else good(request, response);
      };
      expect(await client.read('kv/data/x')).to.include({ path: 'kv/data/x' });
      expect(vault.count('kv/data/x')).to.equal(3);
      failuresLeft = 2;
      const once = client.write('kv/data/y', {}, { isRepeatable: false });
      expect(await reasonOf(once)).to.equal('unavailable vault_failed');
      expect(vault.count('kv/data/y')).to.equal(1);
      vault.behaviour = refuse(400);
      expect(await reasonOf(client.write('kv/data/z', {}))).to.equal('invalid vault_refused');
      expect(vault.count('kv/data/z')).to.equal(1);
    }));

  it('does not begin a try for which no time is left', () =>
    withHostile(
      async ({ client, vault }) => {
        vault.behaviour = hang;
        const startedMs = performance.now();
        expect(await reasonOf(client.read('kv/data/x'))).to.equal('unavailable vault_timeout');
        // The pauses before a second and a third try would take 300 ms.
        expect(performance.now() - startedMs).to.be.below(shortTimeouts.totalMs + 200);
        expect(vault.count('kv/data/x')).to.equal(1);
      },
      { timeouts: { ...shortTimeouts, patienceMs: shortTimeouts.totalMs }, random: () => 0.999 },
    ));

  it('leaves a server alone that is sealed or hangs, and looks again with one call', () => {
    const clock = stillClock();
    return withHostile(
      async ({ client, vault, logged }) => {
        vault.behaviour = refuse(503, 'Vault is sealed');
        await reasonOf(client.read('kv/data/x'));
        const atOnce = await Promise.all(Array.from({ length: 20 }, () => failureOf(client.read('kv/data/x'))));
        expect(new Set(atOnce.map(({ reason }) => reason))).to.deep.equal(new Set(['vault_sealed']));
        expect(atOnce[0]?.details.retryAfterS).to.equal(1);
        expect(vault.count('kv/data/x')).to.equal(1);

        vault.behaviour = hang;
        clock.step(60_000);
        const probes = await Promise.all(Array.from({ length: 20 }, () => reasonOf(client.read('kv/data/x'))));
        expect(vault.count('kv/data/x')).to.equal(2);
        expect(probes.filter((reason) => reason === 'unavailable vault_timeout')).to.have.length(1);

        const startedMs = performance.now();
        expect(await reasonOf(client.read('kv/data/x'))).to.equal('unavailable vault_timeout');
        expect(performance.now() - startedMs).to.be.below(250);
        expect(vault.count('kv/data/x')).to.equal(2);

        vault.behaviour = good;
        clock.step(60_000);
        await client.read('kv/data/x');
        await Promise.all(Array.from({ length: 20 }, () => client.read('kv/data/x')));
        expect(logged.map(({ event }) => event).slice(1)).to.deep.equal([
          'vault_circuit_open',
          'vault_circuit_open',
          'vault_circuit_closed',
        ]);
      },
      { timeouts: { ...timeouts, totalMs: 3000 }, random: () => 0.999, clock },
    );
  });

  it('ends every call when it is closed, and opens no connection after that', () =>
    withHostile(async ({ client, vault }) => {
      vault.behaviour = hang;
      const calls = Array.from({ length: 40 }, () => reasonOf(client.read('kv/data/x')));
      while (vault.count('kv/data/x') < 32) await new Promise((resolve) => setTimeout(resolve, 5));
      const startedMs = performance.now();
      client.close();
      expect(new Set(await Promise.all(calls))).to.deep.equal(new Set(['unavailable vault_closed']));
      expect(performance.now() - startedMs).to.be.below(1000);
      expect(vault.count('kv/data/x')).to.equal(32);
    }));

  it('refuses calls beyond those that may wait', () =>
    withHostile(
      async ({ client, vault }) => {
        vault.behaviour = hang;
        const calls = Array.from({ length: 5000 }, () => client.read('kv/data/x').catch((error: unknown) => error));
        const reasons = (await Promise.all(calls)).map((error) => (error instanceof AppError ? error.reason : 'none'));
        expect(reasons.filter((reason) => reason === 'overloaded')).to.have.length(5000 - 4096);
        expect(reasons.every((reason) => reason === 'overloaded' || reason === 'vault_timeout')).to.equal(true);
      },
      { timeouts: shortTimeouts },
    ));

  it('refuses a server with a certificate of another authority, or for another name', async () => {
    const [vault, other] = await Promise.all([startHostileVault(), startHostileVault()]);
    try {
      const { caPem: _, ...withoutCa } = optionsFor(vault);
      const name = vault.address.replace('127.0.0.1', '127.0.0.2');
      for (const options of [
        optionsFor(vault, { caPem: other.caPem }),
        withoutCa,
        optionsFor(vault, { address: name }),
      ]) {
        expect(await reasonOf(openVault(options))).to.equal('unavailable vault_unreachable');
      }
      expect(vault.seen).to.deep.equal([]);
      (await openVault({ ...withoutCa, verifyTls: false })).close();
    } finally {
      await Promise.all([vault.stop(), other.stop()]);
    }
  });

  it('waits a bounded time for a server that accepts connections and says nothing', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const vault = await startHostileVault();
    try {
      const address = `https://127.0.0.1:${(silent.address() as AddressInfo).port.toString()}`;
      const limits = { ...timeouts, connectMs: 100 };
      const options = optionsFor(vault, { address, timeouts: limits });
      expect(await inTime(reasonOf(openVault(options)))).to.equal('unavailable vault_timeout');
      expect(sockets).to.have.length(3);
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
      await vault.stop();
    }
  });

  it('refuses settings that cannot be meant, before it connects', async () => {
    const vault = await startHostileVault();
    try {
      const http = vault.address.replace('https:', 'http:');
      const addresses = ['', 'vault', 'ftp://x', http, 'https://a:b@x', 'https://x/v1', 'https://x?a', 'https://x#a'];
      for (const address of addresses) {
        expect(await reasonOf(openVault(optionsFor(vault, { address }))), address).to.equal(
          'invalid vault_settings_invalid',
        );
      }
      const token = `${canary.token}\n`;
      for (const changes of [
        { auth: { kind: 'token', token } },
        { auth: { kind: 'token', token: '' } },
        { auth: { kind: 'approle', roleId: '', secretId: 'x' } },
        { auth: { kind: 'approle', roleId: 'x', secretId: `${canary.secretId} x` } },
        { namespace: 'a\r\nb' },
      ] as const) {
        expect(await reasonOf(openVault(optionsFor(vault, changes)))).to.equal('invalid vault_settings_invalid');
      }
      const mount = optionsFor(vault, { auth: { kind: 'approle', roleId: 'x', secretId: 'x', mount: '../x' } });
      expect(await reasonOf(openVault(mount))).to.equal('invalid vault_name_invalid');
      expect(vault.seen).to.deep.equal([]);
    } finally {
      await vault.stop();
    }
  });

  it('shows no secret when it is printed itself', () =>
    withHostile(async ({ client }) => {
      await client.read('kv/data/x');
      expectNoCanary(client);
    }));
});
