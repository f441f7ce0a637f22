/** `writ doctor --node`: what a node stands on, looked at from its machine. */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { makeJoinToken } from '../../../src/app/dev-files.ts';
import { runNodeDoctor } from '../../../src/app/doctor/node-doctor.ts';
import type { Finding } from '../../../src/app/doctor/finding.ts';
import type { Serving } from '../../../src/app/serve.ts';
import { startWork } from '../../../src/app/work.ts';
import { systemClock, type Clock } from '../../../src/domain/clock.ts';
import { createListenerCertificate } from '../../../src/platform/keys/listener-certificate.ts';
import { openLocalAuthority } from '../../../src/platform/keys/local-authority.ts';
import { newServiceFolder, realPartsMissing } from '../../support/services.ts';
import {
  changed,
  clockAhead,
  expectFinding,
  makeDoctorRig,
  troubles,
  type DoctorRig,
  type Environment,
} from './rig.ts';

const hourMs = 3_600_000;

describe('writ doctor --node', function () {
  this.timeout(90_000);
  let rig: DoctorRig;
  let serving: Serving;
  let folder: string;
  let environment: Environment;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    rig = await makeDoctorRig();
    folder = await newServiceFolder('doctor-node');
    await mkdir(folder, { recursive: true });
    const files = { keyPath: join(folder, 'ca.key'), certificatePath: join(folder, 'ca.pem') };
    const authority = await openLocalAuthority({ ...files, create: true, clock: systemClock });
    const { certificatePem, keyPem } = await createListenerCertificate(authority);
    await writeFile(join(folder, 'http.pem'), certificatePem);
    await writeFile(join(folder, 'http.key'), keyPem, { mode: 0o600 });
    const tls = { HTTP_TLS_CERTFILE: join(folder, 'http.pem'), HTTP_TLS_KEYFILE: join(folder, 'http.key') };
    serving = await rig.serve(tls);
    environment = {
      ORCHESTRATOR_URL: serving.url.replace('127.0.0.1', 'localhost'),
      ORCHESTRATOR_CACERT: files.certificatePath,
      NODE_DATA_DIR: join(folder, 'node'),
      NODE_NAME: 'doctored',
      JOIN_TOKEN: await makeJoinToken('doctored', serving.orchestrator),
    };
  });
  after(async () => {
    await serving.stop();
    await rig.stop();
  });

  function look(changes: Environment = {}, clock: Clock = systemClock): Promise<Finding[]> {
    return runNodeDoctor({ environment: changed(environment, changes), clock });
  }

  it('says of a node that has not joined what it needs to', async () => {
    const findings = await look();
    expectFinding(findings, 'data folder', 'warn', /is not there/);
    expectFinding(findings, 'identity', 'warn', /has not joined yet/);
    expectFinding(findings, 'broker', 'warn', /Not checked/);
    expectFinding(findings, 'orchestrator', 'ok', /answers/);
    expectFinding(await look({ JOIN_TOKEN: '' }), 'identity', 'fail', /there is no join token/);
  });

  it('finds nothing wrong with a node that has joined, while it runs and after', async () => {
    const node = await startWork({ environment, log: () => undefined, onEnd: () => undefined });
    try {
      expect(troubles(await look({ JOIN_TOKEN: '' }))).to.deep.equal([]);
    } finally {
      await node.stop();
    }
    const findings = await look({ JOIN_TOKEN: '' });
    expect(troubles(findings)).to.deep.equal([]);
    expectFinding(findings, 'orchestrator certificate', 'ok', /good for \d+ more days/);
    expectFinding(findings, 'node certificate', 'ok', /renewed before/);
    expectFinding(findings, 'broker', 'ok', /lets the node in, and has its queue/);
  });

  it('tells in what way the orchestrator cannot be reached', async () => {
    const cases: [Environment, RegExp][] = [
      [{ ORCHESTRATOR_URL: 'https://localhost:1' }, /nothing listens at ORCHESTRATOR_URL/],
      [{ ORCHESTRATOR_CACERT: rig.rabbitMq.caPath }, /an authority that is not in ORCHESTRATOR_CACERT/],
      [{ ORCHESTRATOR_CACERT: '' }, /set ORCHESTRATOR_CACERT/],
      [{ ORCHESTRATOR_CACERT: join(folder, 'none.pem') }, /ORCHESTRATOR_CACERT: .* cannot be read/],
      [{ ORCHESTRATOR_URL: rig.rabbitMq.managementUrl }, /is no orchestrator/],
      [{ ORCHESTRATOR_URL: 'nowhere' }, /ORCHESTRATOR_URL/],
    ];
    for (const [changes, words] of cases) {
      const findings = await look(changes);
      expectFinding(findings, 'orchestrator', 'fail', words);
      expectFinding(findings, 'broker', 'ok', /lets the node in/);
    }
  });

  it('tells of a clock that differs from the orchestrator’s', async () => {
    expectFinding(await look({}, clockAhead(10_000)), 'clock', 'warn', /ahead of that of the orchestrator/);
    expectFinding(await look({}, clockAhead(-60_000)), 'clock', 'fail', /behind that of the orchestrator/);
  });

  it('tells of a certificate that was not renewed, and of one that has expired', async () => {
    expectFinding(await look({}, clockAhead(20 * hourMs)), 'node certificate', 'warn', /was not renewed in time/);
    expectFinding(await look({}, clockAhead(25 * hourMs)), 'node certificate', 'fail', /expired at/);
  });

  it('tells in what way RabbitMQ cannot be reached, in words for a node', async () => {
    const closed = await look({ NODE_RABBITMQ_URL: 'amqps://localhost:1' });
    expectFinding(closed, 'broker', 'fail', /does not answer at the address that the orchestrator told/);
    const { certificatePath } = { certificatePath: join(folder, 'ca.pem') };
    const authority = await look({ RABBITMQ_SSL_CAFILE: certificatePath });
    expectFinding(authority, 'broker', 'fail', /not signed by the authority that the orchestrator told/);
    const vhost = await look({ NODE_RABBITMQ_URL: `${rig.rabbitMq.url}/nowhere` });
    expectFinding(vhost, 'broker', 'fail', /does not let the node into the virtual host/);
    expect(JSON.stringify([closed, authority, vhost])).not.to.include('RABBITMQ_SSL_CERTFILE');
  });

  it('tells of files of the node that others can read or write', async () => {
    const data = environment['NODE_DATA_DIR']!;
    await chmod(join(data, 'identity.json'), 0o644);
    await chmod(data, 0o777);
    try {
      const findings = await look();
      expectFinding(findings, 'file identity.json', 'fail', /Everybody on this machine can read/);
      expectFinding(findings, 'data folder', 'fail', /others can write to it/);
    } finally {
      await chmod(join(data, 'identity.json'), 0o600);
      await chmod(data, 0o700);
    }
  });

  it('tells of an identity that is damaged', async () => {
    const path = join(environment['NODE_DATA_DIR']!, 'identity.json');
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, 100));
    try {
      const findings = await look();
      expectFinding(findings, 'identity', 'fail', /is damaged/);
      expectFinding(findings, 'broker', 'warn', /Not checked/);
      expect(JSON.stringify(findings)).not.to.include('writ_node_');
    } finally {
      await writeFile(path, whole);
    }
  });
});
