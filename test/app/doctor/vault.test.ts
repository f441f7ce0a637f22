/** `writ doctor` and what can be wrong with Vault, on an OpenBao of its own. */

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { startOpenBao, type OpenBaoService } from '../../../scripts/services/openbao.ts';
import type { Finding } from '../../../src/app/doctor/finding.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { openVault, type VaultClient } from '../../../src/platform/keys/vault/client.ts';
import { newServiceFolder, realPartsMissing } from '../../support/services.ts';
import { connectTestVault } from '../../support/vault-client.ts';
import { expectFinding, makeDoctorRig, troubles, type DoctorRig, type Environment } from './rig.ts';

const run = promisify(execFile);
/** What every token may: ask about itself. */
const aboutItself = `
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self" { capabilities = ["update"] }
`;

describe('writ doctor and Vault', function () {
  this.timeout(90_000);
  let rig: DoctorRig;
  let openBao: OpenBaoService;
  let root: VaultClient;
  let own: Environment;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    rig = await makeDoctorRig();
    openBao = await startOpenBao({ dir: await newServiceFolder('openbao') });
    root = await connectTestVault(openBao, 'root');
    own = {
      VAULT_ADDR: openBao.url,
      VAULT_CACERT: openBao.caPath,
      VAULT_ROLE_ID: openBao.roleId,
      VAULT_SECRET_ID: await openBao.newSecretId(),
    };
  });
  after(async () => {
    root.close();
    await openBao.stop();
    await rig.stop();
  });

  function look(changes: Environment = {}): Promise<Finding[]> {
    return rig.run({ ...own, ...changes });
  }

  /** `bao` with all rights. */
  async function bao(...args: string[]): Promise<string> {
    const { path, environment } = openBao.cli;
    return (await run(path, args, { env: environment })).stdout.trim();
  }

  async function tokenWith(policy: string, ...options: string[]): Promise<Environment> {
    const name = `test-${randomUUID()}`;
    await root.write(`sys/policies/acl/${name}`, { policy });
    const token = await bao('token', 'create', '-field=token', '-no-default-policy', `-policy=${name}`, ...options);
    return { VAULT_TOKEN: token };
  }

  it('finds nothing wrong with it as it is set up, and leaves nothing behind', async () => {
    const accessors = await bao('list', '-format=json', 'auth/token/accessors');
    const findings = await look();
    const wrong = troubles(findings).filter((trouble) => /vault|mark$/.test(trouble));
    expect(wrong, 'the database of this rig holds no log yet').to.deep.equal(['warn log and mark']);
    expectFinding(findings, 'vault login', 'ok', /lives 60 minutes and is renewed/);
    expect(await bao('list', '-format=json', 'auth/token/accessors'), 'its token is revoked').to.equal(accessors);
  });

  it('names an authority of node certificates that RabbitMQ does not know', async () => {
    const findings = await look();
    expectFinding(findings, 'vault node certificates', 'ok', /signs certificates of nodes/);
    expectFinding(findings, 'rabbitmq node authority', 'fail', /no node gets in/);
    expectFinding(await rig.run(), 'rabbitmq node authority', 'ok', /knows the authority/);
  });

  it('says that it is sealed, and goes on with the rest', async () => {
    await openBao.seal();
    try {
      const findings = await look();
      expectFinding(findings, 'vault', 'fail', /^Vault is sealed/);
      expectFinding(findings, 'vault certificate', 'ok', /is good for/);
      expectFinding(findings, 'vault login', 'warn', /Not checked/);
      expectFinding(findings, 'rabbitmq', 'ok', /takes the client certificate/);
    } finally {
      await openBao.unseal();
    }
  });

  it('tells in what way it cannot be reached', async () => {
    const cases: [Environment, RegExp][] = [
      [{ VAULT_ADDR: 'https://127.0.0.1:1' }, /nothing listens at VAULT_ADDR/],
      [{ VAULT_ADDR: 'https://vault.invalid:8200' }, /host in VAULT_ADDR has no address/],
      [{ VAULT_CACERT: rig.rabbitMq.caPath }, /an authority that is not in VAULT_CACERT/],
      [{ VAULT_CACERT: '' }, /an authority that is not in the system's authorities: set VAULT_CACERT/],
      [{ VAULT_ADDR: rig.rabbitMq.managementUrl.replace('http', 'https') }, /does not speak TLS/],
      [{ VAULT_ADDR: rig.rabbitMq.managementUrl }, /VAULT_ADDR is not https/],
      [{ VAULT_ADDR: rig.rabbitMq.managementUrl, VAULT_REQUIRE_HTTPS: 'false' }, /does not answer as Vault does/],
    ];
    for (const [changes, words] of cases) {
      const findings = await look(changes);
      expectFinding(findings, 'vault', 'fail', words);
      expectFinding(findings, 'vault login', 'warn', /Not checked/);
    }
    expectFinding(await look({ VAULT_VERIFY_TLS: 'false' }), 'settings', 'warn', /VAULT_VERIFY_TLS is false/);
  });

  it('names credentials that are wrong, or not there, and shows none', async () => {
    for (const changes of [{ VAULT_TOKEN: 's.nobody' }, { VAULT_SECRET_ID: 'wrong-secret' }]) {
      const findings = await look(changes);
      expectFinding(findings, 'vault login', 'fail', /does not take the credentials/);
      expectFinding(findings, 'log and mark', 'warn', /holds no log yet|Not checked/);
      expect(JSON.stringify(findings)).not.to.match(/s\.nobody|wrong-secret/);
    }
    const none = await look({ VAULT_ROLE_ID: '', VAULT_SECRET_ID: '' });
    expectFinding(none, 'vault login', 'fail', /set VAULT_TOKEN, or VAULT_ROLE_ID/);
  });

  it('looks at a wrapped secret id, and leaves it to be unwrapped', async () => {
    const wrapped = await openBao.newWrappedSecretId();
    const changes = { VAULT_SECRET_ID: '', VAULT_WRAPPED_SECRET_ID: wrapped };
    for (let i = 0; i < 2; i++) {
      expectFinding(await look(changes), 'vault login', 'warn', /is good and was made at auth\/approle\/role/);
    }
    const auth = { kind: 'approle', roleId: openBao.roleId, secretId: { wrappedSecretId: wrapped } } as const;
    const caPem = readFileSync(openBao.caPath, 'utf8');
    const options = { address: openBao.url, caPem, clock: systemClock, random: Math.random, log: () => undefined };
    (await openVault({ ...options, auth })).close();
    expectFinding(await look(changes), 'vault login', 'fail', /has expired or was unwrapped/);
  });

  it('names a key of another type, one that is not there, and one that can be taken out', async () => {
    const types = await look({ VAULT_TRANSIT_KEY_TYPE: 'ed25519' });
    expectFinding(types, 'vault key writ-manifest', 'fail', /has the type ecdsa-p256, not ed25519/);
    expectFinding(types, 'vault key writ-log', 'ok', /signatures hold/);
    const token = { VAULT_TOKEN: openBao.rootToken };
    const missing = await look({ ...token, VAULT_TRANSIT_KEY_NAME: 'nothing' });
    expectFinding(missing, 'vault key nothing', 'fail', /has no Transit key nothing/);
    const made = { ...token, VAULT_TRANSIT_KEY_NAME: 'nothing', VAULT_TRANSIT_AUTO_CREATE_KEY: 'true' };
    expectFinding(await look(made), 'vault key nothing', 'warn', /has no Transit key nothing/);
    await root.write('transit/keys/open', { type: 'ecdsa-p256', exportable: true });
    const open = await look({ ...token, VAULT_TRANSIT_KEY_NAME: 'open' });
    expectFinding(open, 'vault key open', 'warn', /can be taken out of Vault/);
  });

  it('names what the policy does not allow', async () => {
    const policy = `${aboutItself} path "transit/keys/*" { capabilities = ["read"] }`;
    const findings = await look(await tokenWith(policy));
    expectFinding(findings, 'vault key writ-manifest', 'fail', /Vault denies this call/);
    expectFinding(findings, 'vault mark', 'fail', /cannot be read: Vault denies/);
    expectFinding(findings, 'vault node certificates', 'fail', /No certificate of a node can be had: Vault denies/);
    expectFinding(findings, 'postgresql', 'ok', /answers/);
  });

  it('names a store of the wrong version, and a role that is not there', async () => {
    await root.write('sys/mounts/old-kv', { type: 'kv', options: { version: '1' } });
    const token = { VAULT_TOKEN: openBao.rootToken };
    const store = await look({ ...token, VAULT_KV_MOUNT: 'old-kv' });
    expectFinding(store, 'vault mark', 'fail', /old-kv\/ is no KV store of version 2/);
    const role = await look({ ...token, VAULT_PKI_ROLE: 'nothing' });
    expectFinding(role, 'vault node certificates', 'fail', /No certificate of a node can be had/);
    await root.write('pki/roles/short', {
      allow_any_name: true,
      server_flag: true,
      client_flag: true,
      key_type: 'any',
    });
    const other = await look({ ...token, VAULT_PKI_ROLE: 'short' });
    expectFinding(other, 'vault node certificates', 'fail', /signed another certificate than it was asked for/);
  });

  it('tells of a token that may too much, and of one that ends', async () => {
    expectFinding(await look({ VAULT_TOKEN: openBao.rootToken }), 'vault login', 'warn', /may do everything/);
    const all = '["create", "read", "update", "delete", "list"]';
    const wide = await look(await tokenWith(`${aboutItself} path "+/*" { capabilities = ${all} }`));
    expectFinding(wide, 'vault policy', 'warn', /may do more than it needs, at transit\/keys\/writ-manifest\/config/);
    const ending = await look(await tokenWith(aboutItself, '-ttl=2h', '-renewable=false'));
    expectFinding(ending, 'vault login', 'warn', /cannot be renewed and ends in (2 hours|1\d\d minutes)/);
    const silent = await look(await tokenWith('path "transit/keys/*" { capabilities = ["read"] }'));
    expectFinding(silent, 'vault login', 'fail', /does not take the credentials/);
  });
});
