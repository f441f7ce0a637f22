/** The OpenBao of `vault/` allows what its policies list, and comes back as it was. */
import { execFile } from 'node:child_process';
import { createPublicKey, randomUUID, verify, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { openBaoApi, type CallOptions } from '../../scripts/services/openbao-api.ts';
import { startOpenBao, type OpenBaoService } from '../../scripts/services/openbao.ts';
import { newServiceFolder, realPartsMissing, testOpenBao } from '../support/services.ts';
import { startAndDie } from './killed-starter.ts';
import { noneLeft } from './processes.ts';

const run = promisify(execFile);
const INPUT = Buffer.from('manifest').toString('base64');

describe('OpenBao', function () {
  this.timeout(60_000);
  let service: OpenBaoService;
  let call: (method: 'GET' | 'PUT' | 'DELETE', path: string, options?: CallOptions) => Promise<unknown>;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    service = await testOpenBao();
    call = openBaoApi(service.url, await readFile(service.caPath, 'utf8')).call;
  });

  async function logIn(): Promise<string> {
    const body = { role_id: service.roleId, secret_id: await service.newSecretId() };
    const answer = (await call('PUT', 'auth/approle/login', { body })) as { auth: { client_token: string } };
    return answer.auth.client_token;
  }

  it('changes nothing when it is set up again, and tells no secret', async () => {
    const said = await service.setUp();
    const words = said
      .split('\n\n')[0]!
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect(words).to.have.length.greaterThan(10);
    expect([...new Set(words)]).to.deep.equal(['there']);
    for (const secret of [service.rootToken, service.roleId]) expect(said).to.not.include(secret);
  });

  it('sets a role right that somebody changed, and says so', async () => {
    const path = 'auth/approle/role/writ-orchestrator';
    await call('PUT', path, { token: service.rootToken, body: { token_policies: ['writ-orchestrator', 'root-like'] } });
    expect(await service.setUp()).to.include(`written    role ${path}`);
    const role = (await call('GET', path, { token: service.rootToken })) as object;
    expect(role).to.deep.include({ token_policies: ['writ-orchestrator'], token_ttl: 3600, token_max_ttl: 86_400 });
  });

  it('signs for an orchestrator with keys that nobody can take out', async () => {
    const token = await logIn();
    for (const [key, type] of [
      ['writ-manifest', 'ecdsa-p256'],
      ['writ-log', 'ed25519'],
    ] as const) {
      const known = (await call('GET', `transit/keys/${key}`, { token })) as Record<string, unknown>;
      expect(known).to.deep.include({ type, exportable: false, allow_plaintext_backup: false });
      const body = { input: INPUT, marshaling_algorithm: 'asn1', key_version: 1 };
      const { signature } = (await call('PUT', `transit/sign/${key}`, { token, body })) as { signature: string };
      expect(
        isSignedBy((known['keys'] as Record<string, { public_key: string }>)['1']!.public_key, signature),
      ).to.equal(true);
    }
    const prehashed = { input: Buffer.alloc(32).toString('base64'), prehashed: true, key_version: 1 };
    await call('PUT', 'transit/sign/writ-manifest/sha2-256', { token, body: prehashed });
  });

  it('keeps a mark that moves by check-and-set', async () => {
    const token = await logIn();
    const path = `kv/data/writ/marks/${randomUUID()}`;
    const write = (cas: number): Promise<unknown> =>
      call('PUT', path, { token, body: { options: { cas }, data: { size: cas } } });
    await write(0);
    expect(await outcome(write(0))).to.match(/check-and-set/);
    await write(1);
    expect(await call('GET', path, { token })).to.have.nested.property('data.size', 1);
  });

  it('certifies nodes as clients alone, and listeners as servers alone, by the names of the caller', async () => {
    const node = await certify(await logIn(), 'writ-node', { common_name: 'node-1', exclude_cn_from_sans: true });
    expect(node.subject).to.equal('CN=node-1');
    expect(node.subjectAltName).to.equal(undefined);
    expect(node.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.2']);
    const names = { common_name: 'api', alt_names: 'writ.example', ip_sans: '192.0.2.1', exclude_cn_from_sans: true };
    const server = await certify(service.rootToken, 'writ-server', names);
    expect(server.subjectAltName).to.equal('DNS:writ.example, IP Address:192.0.2.1');
    expect(server.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1']);
    const root = new X509Certificate(await service.pkiRootPem());
    expect(node.verify(root.publicKey) && server.verify(root.publicKey)).to.equal(true);
  });

  it('lets an orchestrator look after its own token', async () => {
    const token = await logIn();
    expect(await call('GET', 'auth/token/lookup-self', { token }))
      .to.have.property('ttl')
      .within(3590, 3600);
    await call('PUT', 'auth/token/renew-self', { token });
    await call('PUT', 'auth/token/revoke-self', { token });
    expect(await outcome(call('GET', 'auth/token/lookup-self', { token }))).to.match(/403/);
  });

  it('refuses an orchestrator everything else', async () => {
    const token = await logIn();
    const body = { input: INPUT, type: 'ed25519' };
    const denied: ['GET' | 'PUT' | 'DELETE', string][] = [
      ['PUT', 'transit/keys/writ-manifest/rotate'],
      ['PUT', 'transit/keys/writ-manifest/config'],
      ['DELETE', 'transit/keys/writ-manifest'],
      ['PUT', 'transit/keys/another'],
      ['GET', 'transit/keys?list=true'],
      ['GET', 'transit/export/signing-key/writ-manifest'],
      ['GET', 'transit/backup/writ-manifest'],
      ['PUT', 'transit/sign/another'],
      ['PUT', 'transit/encrypt/writ-manifest'],
      ['DELETE', 'kv/data/writ/marks/one'],
      ['GET', 'kv/metadata/writ/marks/one'],
      ['PUT', 'kv/destroy/writ/marks/one'],
      ['GET', 'kv/data/other'],
      ['PUT', 'pki/sign/writ-server'],
      ['PUT', 'pki/issue/writ-node'],
      ['PUT', 'pki/roles/writ-node'],
      ['PUT', 'pki/root/generate/internal'],
      ['PUT', 'auth/approle/role/writ-orchestrator/secret-id'],
      ['PUT', 'auth/token/create'],
      ['PUT', 'sys/seal'],
      ['GET', 'sys/mounts'],
      ['PUT', 'sys/policies/acl/writ-orchestrator'],
      ['GET', 'cubbyhole/anything'],
    ];
    for (const [method, path] of denied) {
      expect(await outcome(call(method, path, { token, ...(method === 'PUT' ? { body } : {}) })), path).to.match(/403/);
    }
  });

  it('wraps a secret id, which is unwrapped once', async () => {
    const token = await service.newWrappedSecretId();
    const lookup = (await call('PUT', 'sys/wrapping/lookup', { body: { token } })) as { creation_path: string };
    expect(lookup.creation_path).to.equal('auth/approle/role/writ-orchestrator/secret-id');
    expect(await call('PUT', 'sys/wrapping/unwrap', { token })).to.have.property('secret_id');
    expect(await outcome(call('PUT', 'sys/wrapping/unwrap', { token }))).to.match(/400/);
  });

  it('answers 503 while it is sealed', async () => {
    const token = await logIn();
    await service.seal();
    try {
      expect(await outcome(call('GET', 'transit/keys/writ-log', { token }))).to.match(/503/);
    } finally {
      await service.unseal();
    }
    await call('GET', 'transit/keys/writ-log', { token });
  });

  describe('of its own', () => {
    let dir: string;
    let own: OpenBaoService;

    before(async () => {
      dir = await newServiceFolder('openbao-life');
      own = await startOpenBao({ dir });
    });
    after(() => own?.stop());

    async function bao(...words: string[]): Promise<string> {
      return (await run(own.cli.path, words, { env: own.cli.environment })).stdout;
    }

    it('lets a rotator rotate the key of manifests, and sign nothing', async () => {
      const token = await bao('token', 'create', '-policy=writ-key-rotator', '-no-default-policy', '-field=token');
      const mine = openBaoApi(own.url, await readFile(own.caPath, 'utf8'));
      await mine.call('PUT', 'transit/keys/writ-manifest/rotate', { token });
      await mine.call('PUT', 'transit/keys/writ-manifest/config', { token, body: { min_encryption_version: 2 } });
      expect(await mine.call('GET', 'transit/keys/writ-manifest', { token })).to.include({ min_encryption_version: 2 });
      for (const path of ['transit/sign/writ-manifest', 'transit/keys/writ-log/rotate', 'pki/sign/writ-node']) {
        expect(await outcome(mine.call('PUT', path, { token, body: { input: INPUT } })), path).to.match(/403/);
      }
    });

    it('keeps what it knows when it is stopped and when it is killed, and ends with its starter', async () => {
      const key = await bao('read', '-field=keys', 'transit/keys/writ-log');
      await own.stop();
      await noneLeft([dir], 0);
      await own.start();
      expect(await bao('read', '-field=keys', 'transit/keys/writ-log')).to.equal(key);
      await own.kill();
      await own.start();
      expect(await bao('read', '-field=keys', 'transit/keys/writ-log')).to.equal(key);
      expect((await stat(own.secretsPath)).mode & 0o077).to.equal(0);
      await own.stop();
      await startAndDie('openbao', dir);
      await noneLeft([dir], 10_000);
    });
  });

  async function certify(token: string, role: string, names: object): Promise<X509Certificate> {
    const csr = await requestFor('ignored.example');
    const answer = await call('PUT', `pki/sign/${role}`, { token, body: { csr, ttl: '24h', ...names } });
    return new X509Certificate((answer as { certificate: string }).certificate);
  }
});

async function requestFor(name: string): Promise<string> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', '/dev/null'];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  return (await run('openssl', ['req', '-new', ...key, ...subject])).stdout;
}

function isSignedBy(publicKey: string, signature: string): boolean {
  const isPem = publicKey.startsWith('-----');
  const key = isPem
    ? createPublicKey(publicKey)
    : createPublicKey({
        format: 'jwk',
        key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey, 'base64').toString('base64url') },
      });
  const bytes = Buffer.from(signature.split(':')[2]!, 'base64');
  return verify(isPem ? 'sha256' : null, Buffer.from(INPUT, 'base64'), key, bytes);
}

/** `done`, or why not. */
async function outcome(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'done',
    (error: unknown) => (error as Error).message,
  );
}
