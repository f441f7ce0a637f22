/** The authority in Vault's PKI: the contract of every authority, and answers that are not what was asked for. */

import { randomUUID, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Authority } from '../../../../src/domain/authority.ts';
import { systemClock } from '../../../../src/domain/clock.ts';
import { AppError } from '../../../../src/domain/error.ts';
import { createCertificateRequest } from '../../../../src/platform/keys/certificate-request.ts';
import { openLocalAuthority } from '../../../../src/platform/keys/local-authority.ts';
import type { VaultClient } from '../../../../src/platform/keys/vault/client.ts';
import { splitPem } from '../../../../src/platform/keys/vault/issued-certificate.ts';
import { vaultFailure } from '../../../../src/platform/keys/vault/failure.ts';
import { createVaultAuthority } from '../../../../src/platform/keys/vault/vault-authority.ts';
import { authorityContract } from '../../../contract/authority.ts';
import { realPartsMissing, testOpenBao } from '../../../support/services.ts';
import { connectTestVault } from '../../../support/vault-client.ts';
import { makeDirectory } from '../temporary-directory.ts';

type Asked = Parameters<Authority['issue']>[0];

const asked = {
  commonName: 'node-1',
  names: ['node-1.example', '10.1.2.3', 'fd00::1'],
  usage: 'client',
  lifetimeS: 3600,
} as const;

/** A client whose PKI is a local authority that signs what `change` makes of the request. */
function pkiClient(signer: Authority, change: (asked: Asked) => Partial<Asked> = () => ({}), root = signer) {
  const calls: { path: string; body: Record<string, string> }[] = [];
  const client: VaultClient = {
    read: async () => ({ ca_chain: await root.rootPem(), certificate: await root.rootPem() }),
    write: async (path, body) => {
      const sent = body as Record<string, string>;
      calls.push({ path, body: sent });
      const names = [sent['alt_names'], sent['ip_sans']].flatMap((text = '') => text.split(',')).filter(Boolean);
      const request: Asked = {
        csrPem: sent['csr'] ?? '',
        commonName: sent['common_name'] ?? '',
        names,
        usage: path.endsWith('writ-server') ? 'server' : 'client',
        lifetimeS: Number.parseInt(sent['ttl'] ?? '', 10),
      };
      const { certificatePem } = await signer.issue({ ...request, ...change(request) });
      const [certificate, ...chain] = certificatePem.split(/(?<=-----END CERTIFICATE-----\n)/);
      return { certificate, ca_chain: chain };
    },
    status: () => Promise.resolve({ ok: true }),
    close: () => undefined,
  };
  return { client, calls };
}

/** The failure of issuing with this client: `code reason cause`. */
async function failureOf(client: VaultClient, changes: Partial<Asked> = {}): Promise<string> {
  const { csrPem } = await createCertificateRequest('x');
  const authority = createVaultAuthority({ client, clock: systemClock });
  return authority.issue({ csrPem, ...asked, ...changes }).then(
    () => 'none',
    (error: unknown) => {
      if (!(error instanceof AppError)) return String(error);
      return [error.code, error.reason, error.cause instanceof Error ? error.cause.message : ''].join(' ').trim();
    },
  );
}

describe('the authority in Vault', () => {
  let local: Authority;
  let other: Authority;
  let remove: () => Promise<void>;
  before(async () => {
    const made = await makeDirectory();
    remove = made.remove;
    const open = (name: string) =>
      openLocalAuthority({
        keyPath: join(made.directory, `${name}.key`),
        certificatePath: join(made.directory, `${name}.crt`),
        create: true,
        clock: systemClock,
      });
    [local, other] = await Promise.all([open('one'), open('two')]);
  });
  after(() => remove());

  it('asks a role for each usage, with names and time as they are wanted', async () => {
    const { client, calls } = pkiClient(local);
    const { csrPem } = await createCertificateRequest('ignored');
    const authority = createVaultAuthority({ client, clock: systemClock });
    await authority.issue({ csrPem, ...asked });
    await authority.issue({ csrPem, ...asked, names: [], usage: 'server' });
    expect(calls.map(({ path }) => path)).to.deep.equal(['pki/sign/writ-node', 'pki/sign/writ-server']);
    expect(calls[0]?.body).to.deep.equal({
      csr: csrPem,
      common_name: 'node-1',
      exclude_cn_from_sans: true,
      alt_names: 'node-1.example',
      ip_sans: '10.1.2.3,fd00::1',
      ttl: '3600s',
      format: 'pem',
    });
    expect(calls[1]?.body).to.include({ alt_names: '', ip_sans: '' });
  });

  it('asks Vault for nothing where parameters or request are wrong', async () => {
    const { client, calls } = pkiClient(local);
    expect(await failureOf(client, { names: ['a,b'] })).to.equal('invalid certificate_parameters_invalid');
    expect(await failureOf(client, { lifetimeS: 0 })).to.equal('invalid certificate_parameters_invalid');
    expect(await failureOf(client, { csrPem: 'x' })).to.equal('invalid certificate_request_invalid');
    expect(calls).to.deep.equal([]);
  });

  const answers: [name: string, change: (asked: Asked) => Partial<Asked>, what: string][] = [
    ['another common name', () => ({ commonName: 'node-2' }), 'subject'],
    ['one name more', ({ names }) => ({ names: [...names, 'more.example'] }), 'names'],
    ['one name less', ({ names }) => ({ names: names.slice(1) }), 'names'],
    ['no names', () => ({ names: [] }), 'names'],
    ['another address', ({ names }) => ({ names: [...names.slice(0, 2), 'fd00::2'] }), 'names'],
    ['another usage', () => ({ usage: 'server' }), 'usage'],
    ['a longer life', () => ({ lifetimeS: 3600 + 301 }), 'end'],
  ];
  for (const [name, change, what] of answers) {
    it(`hands on no certificate with ${name}`, async () => {
      const { client } = pkiClient(local, change);
      expect(await failureOf(client)).to.equal(`unavailable vault_certificate_wrong ${what}`);
    });
  }

  it('compares the very text of the common name', async () => {
    const { client } = pkiClient(local);
    for (const commonName of ['a, O=Writ+OU="x"', '#0c0178', 'x=y', '"x"', '\\,', ' x ']) {
      expect(await failureOf(client, { commonName }), commonName).to.equal('none');
      const spaced = pkiClient(local, () => ({ commonName: `${commonName} ` }));
      expect(await failureOf(spaced.client, { commonName })).to.equal('unavailable vault_certificate_wrong subject');
    }
  });

  it('hands on no certificate for another key', async () => {
    const { csrPem } = await createCertificateRequest('x');
    const { client } = pkiClient(local, () => ({ csrPem }));
    expect(await failureOf(client)).to.equal('unavailable vault_certificate_wrong key');
  });

  it('hands on no certificate that the root has not signed', async () => {
    const { client } = pkiClient(other, undefined, local);
    expect(await failureOf(client)).to.equal('unavailable vault_certificate_wrong chain');
  });

  for (const [name, offsetMs, lifetimeS, what] of [
    ['has ended already', 2 * 3600_000, 3600, 'end'],
    ['ends later than was asked for', -2 * 3600_000, 3600, 'end'],
    ['begins in the future', -20 * 60_000, 60, 'beginning'],
  ] as const) {
    it(`hands on no certificate that ${name}`, async () => {
      const { client } = pkiClient(local, () => ({ lifetimeS }));
      const { csrPem } = await createCertificateRequest('x');
      const clock = { ...systemClock, now: () => Date.now() + offsetMs };
      const failure = createVaultAuthority({ client, clock }).issue({ csrPem, ...asked });
      expect(await failure.catch((error: unknown) => error)).to.have.nested.property('cause.message', what);
    });
  }

  it('takes a certificate that ends earlier, as roles may have it', async () => {
    const { client } = pkiClient(local, () => ({ lifetimeS: 60 }));
    expect(await failureOf(client)).to.equal('none');
  });

  it('refuses an authority as a certificate, and answers that hold none', async () => {
    const rootPem = await local.rootPem();
    const { client } = pkiClient(local);
    for (const [answer, expected] of [
      [{}, 'unavailable vault_answer_invalid'],
      [{ certificate: 'x' }, 'unavailable vault_certificate_wrong no certificate'],
      [{ certificate: rootPem, ca_chain: 'x' }, 'unavailable vault_answer_invalid'],
      [{ certificate: rootPem, ca_chain: [rootPem] }, 'unavailable vault_certificate_wrong key'],
    ] as const) {
      expect(await failureOf({ ...client, write: () => Promise.resolve(answer) })).to.equal(expected);
    }
  });

  it('says that a root is missing, and never puts a caller in the wrong for what Vault refuses', async () => {
    const { client } = pkiClient(local);
    const { csrPem } = await createCertificateRequest('x');
    const { certificatePem } = await local.issue({ csrPem, ...asked });
    const [leaf] = certificatePem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const rootless = { ...client, read: () => Promise.resolve({ ca_chain: leaf }) };
    expect(await failureOf(rootless)).to.equal('unavailable vault_root_missing');
    const nothing = { ...client, read: () => Promise.resolve(undefined) };
    expect(await failureOf(nothing)).to.equal('unavailable vault_answer_invalid');
    for (const kind of ['denied', 'refused', 'notFound', 'sealed'] as const) {
      const error = vaultFailure(kind);
      const refusing = { ...client, write: () => Promise.reject(error) };
      expect(await failureOf(refusing)).to.match(new RegExp(`^unavailable ${error.reason}`));
    }
  });

  it('takes no mount and no role that could lead to another path', () => {
    const { client } = pkiClient(local);
    for (const options of [{ mount: 'a/b' }, { roles: { client: '../x' } }, { roles: { server: '' } }]) {
      expect(() => createVaultAuthority({ client, clock: systemClock, ...options })).to.throw(AppError);
    }
  });
});

describe('the authority in a real OpenBao', function () {
  this.timeout(60_000);
  let client: VaultClient;
  const clients: VaultClient[] = [];
  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    client = await connectTestVault(await testOpenBao(), 'root');
    clients.push(client);
  });
  after(() => {
    for (const each of clients) each.close();
  });

  authorityContract('the authority in Vault', () =>
    Promise.resolve({
      authority: createVaultAuthority({ client, clock: systemClock }),
      stop: () => Promise.resolve(),
    }),
  );

  it('certifies nodes, and no servers, with the rights of an orchestrator', async () => {
    const orchestrator = await connectTestVault(await testOpenBao());
    clients.push(orchestrator);
    const authority = createVaultAuthority({ client: orchestrator, clock: systemClock });
    const { csrPem } = await createCertificateRequest('x');
    const { certificatePem } = await authority.issue({ csrPem, ...asked });
    expect(new X509Certificate(certificatePem).subject).to.equal('CN=node-1');
    expect(await failureOf(orchestrator, { usage: 'server' })).to.match(/^unavailable vault_denied/);
  });

  it('says so where its role is missing', async () => {
    const authority = createVaultAuthority({ client, roles: { client: 'nobody' }, clock: systemClock });
    const { csrPem } = await createCertificateRequest('x');
    const failure = authority.issue({ csrPem, ...asked });
    expect(await failure.catch((error: unknown) => error)).to.include({ code: 'unavailable', reason: 'vault_refused' });
  });

  it('hands on the whole chain with an intermediate, and says so where the root is not beside it', async () => {
    const mount = `pki-${randomUUID()}`;
    await client.write(`sys/mounts/${mount}`, { type: 'pki', config: { max_lease_ttl: '24h' } });
    const made = await client.write(`${mount}/intermediate/generate/internal`, {
      common_name: 'Middle',
      key_type: 'ec',
    });
    const rootMount = `pki-${randomUUID()}`;
    await client.write(`sys/mounts/${rootMount}`, { type: 'pki', config: { max_lease_ttl: '48h' } });
    const root = textOf(
      await client.write(`${rootMount}/root/generate/internal`, { common_name: 'Top', key_type: 'ec' }),
    );
    const request = { csr: textOf(made, 'csr'), common_name: 'Middle', ttl: '24h' };
    const middle = textOf(await client.write(`${rootMount}/root/sign-intermediate`, request));
    await client.write(`${mount}/intermediate/set-signed`, { certificate: middle });
    await client.write(`${mount}/roles/writ-node`, {
      ...{ allow_any_name: true, enforce_hostnames: false, allow_ip_sans: true, use_csr_common_name: false },
      ...{ use_csr_sans: false, client_flag: true, server_flag: false, key_type: 'any' },
    });
    const authority = createVaultAuthority({ client, mount, clock: systemClock });
    const { csrPem } = await createCertificateRequest('x');
    const issue = () => authority.issue({ csrPem, ...asked });
    expect(await issue().catch((error: unknown) => error)).to.have.property('reason', 'vault_root_missing');
    await client.write(`${mount}/issuers/import/cert`, { pem_bundle: root });
    const chain = splitPem((await issue()).certificatePem).map((pem) => new X509Certificate(pem));
    expect(chain.map(({ subject }) => subject)).to.deep.equal(['CN=node-1', 'CN=Middle', 'CN=Top']);
    expect(chain[2]?.fingerprint256).to.equal(new X509Certificate(await authority.rootPem()).fingerprint256);
  });
});

function textOf(answer: unknown, member = 'certificate'): string {
  return String((answer as Record<string, unknown>)[member]);
}
