/** The environment of the process decides nothing about Vault, and no output of it holds a secret. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { answer, canary, refuse, startHostileVault, type HostileVault } from './hostile-vault.ts';
import { approle, timeouts } from './open-hostile.ts';

const source = (path: string): string => JSON.stringify(new URL(`../../../../src/${path}`, import.meta.url).href);

/** Opens Vault with what comes by standard input, calls it in good and bad ways, and prints whatever it can get hold of. */
const PROGRAM = `
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { systemClock } from ${source('domain/clock.ts')};
import { openVault } from ${source('platform/keys/vault/client.ts')};

const options = JSON.parse(await text(process.stdin));
const print = (value) => console.log(inspect(value, { depth: 10, showHidden: true }));
const log = (event, fields) => print({ event, fields });
try {
  const client = await openVault({ ...options, clock: systemClock, random: Math.random, log });
  for (const path of ['kv/data/x', 'kv/data/refused', 'kv/data/failing', 'kv/data/page']) {
    await client.write(path, { secret: ${JSON.stringify(canary.sent)} }).then(() => console.log('done', path), print);
  }
  print(client);
  client.close();
} catch (error) {
  print(error);
}`;

/** What the program prints, on both streams. */
async function runProgram(vault: HostileVault, env: NodeJS.ProcessEnv, caPem = vault.caPem): Promise<string> {
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', PROGRAM], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: 'pipe',
  });
  child.stdin.end(JSON.stringify({ address: vault.address, caPem, auth: approle, timeouts }));
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return out + errors;
}

/** Variables by which node-vault, its parts, Node and OpenSSL can be told other things. */
function hostileEnvironment(other: string, proxy: string): NodeJS.ProcessEnv {
  return {
    DEBUG: '*',
    VAULT_ADDR: other,
    VAULT_TOKEN: 'token-of-the-environment',
    VAULT_NAMESPACE: 'namespace-of-the-environment',
    VAULT_PREFIX: '/prefix-of-the-environment',
    VAULT_SKIP_VERIFY: 'true',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    ALL_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    all_proxy: proxy,
  };
}

describe('the environment of a process that uses Vault', function () {
  this.timeout(30_000);

  it('decides nothing, and no secret is printed whatever is asked for there', async () => {
    const [vault, other] = await Promise.all([startHostileVault(), startHostileVault()]);
    vault.behaviour = (request, response) => {
      const behaviours = { 'kv/data/refused': refuse(400), 'kv/data/failing': refuse(500) };
      const page = answer('text/html', canary.answered + request.body);
      const behaviour = Object.entries(behaviours).find(([path]) => path === request.path)?.[1];
      if (request.path === 'kv/data/x') answer('application/json', '{"data":{}}')(request, response);
      else (behaviour ?? page)(request, response);
    };
    let proxied = 0;
    const proxy = createServer((socket) => {
      proxied += 1;
      socket.destroy();
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port.toString()}`;
    const env = hostileEnvironment(other.address, proxyUrl);
    try {
      const printed = await runProgram(vault, env);
      expect(printed).to.include('done kv/data/x').and.to.include('vault_logged_in');
      for (const reason of ['vault_refused', 'vault_failed', 'vault_answer_invalid']) {
        expect(printed).to.include(`reason: '${reason}'`);
      }
      expect(printed).not.to.match(/CANARY|of-the-environment/);
      expect(vault.seen.map(({ path }) => path).slice(0, 3)).to.deep.equal([
        'auth/approle/login',
        'auth/token/lookup-self',
        'kv/data/x',
      ]);
      expect(vault.seen[0]?.headers).not.to.have.any.keys('x-vault-token', 'x-vault-namespace');
      expect(JSON.stringify(vault.seen)).not.to.include('of-the-environment');

      const before = vault.seen.length;
      const distrusting = await runProgram(vault, env, other.caPem);
      expect(distrusting).to.include("reason: 'vault_unreachable'");
      expect(distrusting).not.to.match(/CANARY/);
      expect(vault.seen.length).to.equal(before);
      expect([other.seen.length, proxied]).to.deep.equal([0, 0]);
    } finally {
      proxy.close();
      await Promise.all([vault.stop(), other.stop()]);
    }
  });
});
