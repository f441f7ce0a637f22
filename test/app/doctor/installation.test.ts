/** `writ doctor` on real services: a good set, and each thing of database, log, settings and files that can be wrong. */

import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { openLocalKeys } from '../../../src/app/keys.ts';
import type { Serving } from '../../../src/app/serve.ts';
import { readHead } from '../../../src/ledger/log-sql.ts';
import { systemClock } from '../../../src/domain/clock.ts';
import { createListenerCertificate } from '../../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../../src/platform/keys/local-authority.ts';
import { createVaultMark } from '../../../src/platform/keys/vault/vault-mark.ts';
import { openSession } from '../../../src/platform/postgres/session.ts';
import { eventually } from '../../end-to-end/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { newServiceFolder, realPartsMissing } from '../../support/services.ts';
import { connectTestVault } from '../../support/vault-client.ts';
import { clockAhead, expectFinding, makeDoctorRig, troubles, type DoctorRig } from './rig.ts';

const dayMs = 86_400_000;

describe('writ doctor on an installation', function () {
  this.timeout(90_000);
  let rig: DoctorRig;
  let folder: string;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    rig = await makeDoctorRig();
    folder = await newServiceFolder('doctor');
    await mkdir(folder, { recursive: true });
    await serveOnce(rig);
  });
  after(() => rig.stop());

  it('finds nothing wrong where nothing is: while writ serve runs, and after', async () => {
    const serving = await rig.serve();
    try {
      const findings = await rig.run();
      expect(troubles(findings)).to.deep.equal([]);
      expectFinding(findings, 'writ serve', 'ok', /is ready/);
      expectFinding(findings, 'broker auth', 'ok', /answers about nodes/);
      expectFinding(findings, 'log and mark', 'ok', /is the one that was signed/);
      expect(await recordsOf(serving, 'auth.deny'), 'looking leaves no trace').to.equal(0);
    } finally {
      await serving.stop();
    }
    const findings = await rig.run();
    expect(troubles(findings)).to.deep.equal([]);
    expectFinding(findings, 'writ serve', 'ok', /No writ serve runs/);
  });

  it('says which settings are not valid, all at once', async () => {
    const findings = await rig.run({ LOG_LEVEL: 'loud', HTTP_LISTEN: 'nowhere' });
    expect(troubles(findings)).to.deep.equal(['fail settings', 'fail settings']);
    expectFinding(findings, 'settings', 'fail', /^LOG_LEVEL: /);
    expectFinding(findings, 'settings', 'fail', /^HTTP_LISTEN: /);
  });

  it('says what does not fit writ serve, and goes on with the rest', async () => {
    const findings = await rig.run({ DATABASE_URL: '', BROKER: 'in-process', METRICS_LISTEN: '0.0.0.0:9464' });
    expectFinding(findings, 'settings', 'fail', /DATABASE_URL is not set/);
    expectFinding(findings, 'settings', 'fail', /BROKER is in-process/);
    expectFinding(findings, 'settings', 'fail', /METRICS_LISTEN .* unencrypted/);
    expectFinding(findings, 'postgresql', 'warn', /Not checked/);
    expectFinding(findings, 'vault login', 'ok', /lets Writ in/);
    const allowed = await rig.run({ METRICS_LISTEN: '0.0.0.0:9464', HTTP_ALLOW_PLAINTEXT: 'true' });
    expectFinding(allowed, 'settings', 'warn', /METRICS_LISTEN .* unencrypted/);
  });

  it('names files that are not there, and says why the checks that need them cannot be made', async () => {
    const findings = await rig.run({ RABBITMQ_SSL_KEYFILE: join(folder, 'none.key') });
    expectFinding(findings, 'file RABBITMQ_SSL_KEYFILE', 'fail', /none\.key cannot be read \(ENOENT\)/);
    expectFinding(findings, 'rabbitmq', 'fail', /RABBITMQ_SSL_KEYFILE/);
    expectFinding(findings, 'rabbitmq queues', 'warn', /Not checked/);
    expectFinding(findings, 'postgresql', 'ok', /answers/);
  });

  it('names keys and secrets that others can read or write', async () => {
    const key = join(folder, 'client.key');
    const secret = join(folder, 'secret-id');
    await copyFile(rig.environment['RABBITMQ_SSL_KEYFILE']!, key);
    await writeFile(secret, rig.environment['VAULT_SECRET_ID']!, { mode: 0o600 });
    const look = (): ReturnType<DoctorRig['run']> =>
      rig.run({ RABBITMQ_SSL_KEYFILE: key, VAULT_SECRET_ID: '', VAULT_SECRET_ID_FILE: secret });
    await chmod(key, 0o644);
    await chmod(secret, 0o640);
    const findings = await look();
    expectFinding(findings, 'file RABBITMQ_SSL_KEYFILE', 'fail', /Everybody on this machine can read/);
    expectFinding(findings, 'file VAULT_SECRET_ID_FILE', 'warn', /group .* can read/);
    expectFinding(findings, 'rabbitmq', 'ok', /takes the client certificate/);
    await chmod(key, 0o620);
    expectFinding(await look(), 'file RABBITMQ_SSL_KEYFILE', 'fail', /can write/);
    await chmod(key, 0o600);
    await chmod(secret, 0o600);
    expect(troubles(await look())).to.deep.equal([]);
  });

  it('names a settings file with a secret in it that others can read', async () => {
    const config = join(folder, 'writ.yaml');
    await writeFile(config, `vault_secret_id: ${rig.environment['VAULT_SECRET_ID']!}\n`, { mode: 0o644 });
    const findings = await rig.run({ VAULT_SECRET_ID: '' }, { config });
    expect(troubles(findings)).to.deep.equal(['fail file WRIT_CONFIG']);
  });

  it('tells of certificates that end soon, and of those that have ended', async () => {
    const soon = await rig.run({}, { clock: clockAhead(360 * dayMs) });
    for (const check of ['certificate RABBITMQ_SSL_CERTFILE', 'rabbitmq certificate', 'vault certificate']) {
      expectFinding(soon, check, 'warn', /ends in [345] days/);
    }
    const late = await rig.run({}, { clock: clockAhead(400 * dayMs) });
    for (const check of ['certificate RABBITMQ_SSL_CERTFILE', 'rabbitmq certificate', 'vault certificate']) {
      expectFinding(late, check, 'fail', /expired at/);
    }
    const early = await rig.run({}, { clock: clockAhead(-10 * dayMs) });
    expectFinding(early, 'certificate RABBITMQ_SSL_CERTFILE', 'fail', /not valid before/);
  });

  it('tells of a clock that differs from those of PostgreSQL and Vault', async () => {
    for (const [byMs, level, words] of [
      [10_000, 'warn', /ahead of/],
      [60_000, 'fail', /ahead of/],
      [-10_000, 'warn', /behind/],
      [-60_000, 'fail', /behind/],
    ] as const) {
      const findings = await rig.run({}, { clock: clockAhead(byMs) });
      expectFinding(findings, 'postgresql clock', level, words);
      expectFinding(findings, 'vault clock', level, words);
    }
  });

  it('tells a listener that shows another certificate than the file holds', async () => {
    const files = { keyPath: join(folder, 'authority.key'), certificatePath: join(folder, 'authority.pem') };
    const authority = await openLocalAuthority({ ...files, create: true, clock: systemClock });
    const [cert, key] = [join(folder, 'http.pem'), join(folder, 'http.key')];
    const renew = async (): Promise<void> => {
      const { certificatePem, keyPem } = await createListenerCertificate(authority);
      await writeFile(cert, certificatePem);
      await writeFile(key, keyPem, { mode: 0o600 });
    };
    await renew();
    const tls = { HTTP_TLS_CERTFILE: cert, HTTP_TLS_KEYFILE: key };
    const serving = await rig.serve(tls);
    try {
      expect(troubles(await rig.run(tls))).to.deep.equal([]);
      await renew();
      expectFinding(await rig.run(tls), 'writ serve', 'warn', /another certificate than that in HTTP_TLS_CERTFILE/);
      const other = { ...tls, HTTP_TLS_KEYFILE: rig.environment['RABBITMQ_SSL_KEYFILE']! };
      expectFinding(await rig.run(other), 'certificate HTTP_TLS_CERTFILE', 'fail', /key is that of another/);
    } finally {
      await serving.stop();
    }
  });

  it('tells a writ serve that is not ready, and by which part', async () => {
    const serving = await rig.serve();
    try {
      await rig.rabbitMq.closeConnections('writ-orchestrator').catch(() => undefined);
      await serving.orchestrator.broker.close();
      const findings = await rig.run();
      expectFinding(findings, 'writ serve', 'fail', /not ready: broker/);
    } finally {
      await serving.stop();
    }
  });

  describe('on a database', () => {
    async function onEmpty(work: (database: TestDatabase) => Promise<void>): Promise<void> {
      const database = await createTestDatabase({ empty: true });
      try {
        await work(database);
      } finally {
        await database.drop();
      }
    }

    it('says that the schema is behind, and does not bring it up to date', async () => {
      await onEmpty(async ({ url }) => {
        for (let i = 0; i < 2; i++) {
          const findings = await rig.run({ DATABASE_URL: url });
          expectFinding(findings, 'postgresql', 'ok', /answers/);
          expectFinding(findings, 'postgresql schema', 'fail', /behind this version: \d+ migrations/);
          expectFinding(findings, 'postgresql role', 'fail', /tables are not there/);
          expectFinding(findings, 'log and mark', 'warn', /Not checked/);
          expectFinding(findings, 'postgresql clock', 'ok', /agree/);
        }
      });
    });

    it('says that the database is newer than this program', async () => {
      const database = await createTestDatabase();
      const session = await openSession({ url: database.url, applicationName: 'test' });
      try {
        await session.query("insert into migrations (number, name, sha256) values (99, '0099_later.sql', 'x')");
        const findings = await rig.run({ DATABASE_URL: database.url });
        expectFinding(findings, 'postgresql schema', 'fail', /newer than this program: it has migration 0099_later/);
        expectFinding(findings, 'log and mark', 'warn', /holds no log yet/);
      } finally {
        await session.end();
        await database.drop();
      }
    });

    it('says that the role of the service cannot be taken on', async () => {
      const session = await openSession({ url: rig.database.url, applicationName: 'test' });
      const user = `stranger_${process.pid.toString()}`;
      try {
        await session.query(`create role ${user} login password 'stranger'`);
        const url = new URL(rig.database.url);
        [url.username, url.password] = [user, 'stranger'];
        const findings = await rig.run({ DATABASE_URL: url.href });
        expectFinding(findings, 'postgresql role', 'fail', /user of DATABASE_URL has not the right to/);
      } finally {
        await session.query(`drop role if exists ${user}`);
        await session.end();
      }
    });

    it('tells in what way PostgreSQL cannot be reached, and never with the password', async () => {
      const wrong = (change: (url: URL) => void): string => {
        const url = new URL(rig.database.url);
        change(url);
        return url.href;
      };
      const cases: [string, RegExp][] = [
        [wrong((url) => (url.port = '1')), /nothing listens/],
        [wrong((url) => (url.hostname = 'postgres.invalid')), /has no address/],
        [wrong((url) => (url.password = 'hunter22')), /refuses user or password/],
        [wrong((url) => (url.pathname = '/nowhere')), /does not exist/],
        [wrong((url) => url.searchParams.set('sslmode', 'verify-full')), /does not speak TLS/],
      ];
      for (const [url, words] of cases) {
        const findings = await rig.run({ DATABASE_URL: url });
        expectFinding(findings, 'postgresql', 'fail', words);
        expectFinding(findings, 'log and mark', 'warn', /Not checked/);
        expect(JSON.stringify(findings)).not.to.include(new URL(url).password);
      }
    });
  });

  it('says that the log is not the one that was signed', async () => {
    const other = await makeDoctorRig();
    const client = await connectTestVault(other.openBao, 'root');
    try {
      await serveOnce(other);
      const origin = (await readHead(other.database.database))?.origin ?? '';
      const mark = createVaultMark({ client, origin });
      const value = await mark.read();
      await mark.write(value, { size: (value?.size ?? 0) + 1000, root: value?.root ?? '' });
      const findings = await other.run();
      expect(troubles(findings)).to.deep.equal(['fail log and mark']);
      expectFinding(findings, 'log and mark', 'fail', /the database is an earlier copy/);
    } finally {
      client.close();
      await other.stop();
    }
  });

  it('looks at keys in local files and at a local mark, and makes none', async () => {
    const local = { SIGNER: 'local', KEYS_DIR: join(folder, 'keys'), MARK_DIR: join(folder, 'marks') };
    const before = await rig.run(local);
    expectFinding(before, 'keys', 'warn', /is not there/);
    expectFinding(before, 'log and mark', 'fail', /has checkpoints, but its mark is missing/);
    expect([existsSync(local.KEYS_DIR), existsSync(local.MARK_DIR)]).to.deep.equal([false, false]);
    (await openLocalKeys(local.KEYS_DIR, local.MARK_DIR)).close();
    const keys = ['key log', 'key manifest', 'key authority'];
    const made = await rig.run(local);
    for (const key of keys) expectFinding(made, key, 'ok', /can be used/);
    await chmod(join(local.KEYS_DIR, 'log.pem'), 0o644);
    await rm(join(local.KEYS_DIR, 'ca.crt'));
    const findings = await rig.run(local);
    expectFinding(findings, 'key log', 'fail', /Others than its owner can open/);
    expectFinding(findings, 'key manifest', 'ok', /can be used/);
    expectFinding(findings, 'key authority', 'fail', /no certificate/);
    expectFinding(await rig.run({ ...local, KEYS_DIR: '' }), 'settings', 'fail', /KEYS_DIR is not set/);
  });

  /** Declares, begins the log, and has it signed. */
  async function serveOnce(on: DoctorRig): Promise<void> {
    const serving = await on.serve();
    try {
      await signed(serving);
    } finally {
      await serving.stop();
    }
  }

  async function signed({ database }: Serving): Promise<void> {
    await eventually(async () => {
      const { rows } = await database.query('select 1 from checkpoints limit 1');
      return rows.length > 0 ? true : undefined;
    });
  }

  async function recordsOf({ database }: Serving, type: string): Promise<number> {
    const { rows } = await database.query<{ n: number }>('select count(*) as n from audit_log where type = $1', [type]);
    return rows[0]?.n ?? 0;
  }
});
