/** `writ doctor` and what RabbitMQ's management API tells. */

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Finding } from '../../../src/app/doctor/finding.ts';
import { callManagement } from '../../support/rabbitmq-api.ts';
import { realPartsMissing } from '../../support/services.ts';
import { alterManagement } from './altered-management.ts';
import { expectFinding, makeDoctorRig, troubles, type DoctorRig } from './rig.ts';

type Members = Record<string, unknown>;

describe('writ doctor and the management of RabbitMQ', function () {
  this.timeout(90_000);
  let rig: DoctorRig;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    rig = await makeDoctorRig();
    await (await rig.serve()).stop();
  });
  after(() => rig.stop());

  async function altered(alter: (path: string, value: unknown) => unknown): Promise<Finding[]> {
    const { url, close } = await alterManagement(rig.rabbitMq, alter);
    try {
      return await rig.run({ RABBITMQ_MANAGEMENT_URL: url });
    } finally {
      await close();
    }
  }

  /** With members changed in what is at one path; in each element of a list. */
  function members(path: string, changes: Members): (at: string, value: unknown) => unknown {
    const change = (value: unknown): unknown => ({ ...(value as Members), ...changes });
    return (at, value) => (at !== path ? value : Array.isArray(value) ? value.map(change) : change(value));
  }

  it('is content where nothing is wrong, and asks nobody where no address is set', async () => {
    expect(troubles(await altered((_, value) => value))).to.deep.equal([]);
    const findings = await rig.run({ RABBITMQ_MANAGEMENT_URL: '' });
    expectFinding(findings, 'rabbitmq management', 'ok', /Not asked/);
    expect(findings.filter(({ check }) => check === 'rabbitmq plugins')).to.deep.equal([]);
  });

  it('tells an address that does not answer from a user that is refused, and shows no password', async () => {
    const closed = await rig.run({ RABBITMQ_MANAGEMENT_URL: 'http://127.0.0.1:1' });
    expectFinding(closed, 'rabbitmq management', 'fail', /nothing listens at RABBITMQ_MANAGEMENT_URL/);
    const findings = await rig.run({ RABBITMQ_MANAGEMENT_PASSWORD: 'correct horse' });
    expectFinding(findings, 'rabbitmq management', 'fail', /refuses the user in RABBITMQ_MANAGEMENT_USER/);
    expect(JSON.stringify([closed, findings])).not.to.match(/correct horse/);
    expect(JSON.stringify(closed)).not.to.include(rig.rabbitMq.managementPassword);
  });

  it('names plugins that are not enabled', async () => {
    const findings = await altered(members('nodes', { enabled_plugins: ['rabbitmq_auth_mechanism_ssl'] }));
    expectFinding(findings, 'rabbitmq plugins', 'fail', /rabbitmq_auth_backend_http, rabbitmq_auth_backend_cache/);
  });

  it('tells of alarms, of servers that are down, and of those that do not see each other', async () => {
    const memory = await altered(members('nodes', { mem_alarm: true }));
    expectFinding(memory, 'rabbitmq alarms', 'fail', /short of memory, and takes no messages/);
    const disk = await altered(members('nodes', { disk_free_alarm: true }));
    expectFinding(disk, 'rabbitmq alarms', 'fail', /short of disk/);
    const parted = await altered(members('nodes', { partitions: ['rabbit@b'] }));
    expectFinding(parted, 'rabbitmq alarms', 'fail', /does not see rabbit@b/);
    const two = await altered((at, value) =>
      at === 'nodes' ? [...(value as Members[]), { name: 'rabbit@b', running: false }] : value,
    );
    expectFinding(two, 'rabbitmq alarms', 'warn', /are down: rabbit@b/);
  });

  it('tells of a listener without TLS', async () => {
    const listeners = [{ protocol: 'amqp', ip_address: '::', port: 5672 }];
    const findings = await altered(members('overview', { listeners }));
    expectFinding(findings, 'rabbitmq listeners', 'fail', /without TLS at ::, port 5672/);
  });

  it('wants the delivery limit of receipts raised on RabbitMQ 4', async () => {
    const queue = `queues/${rig.vhost}/writ.receipts`;
    const on4 = (policy: Members): Promise<Finding[]> =>
      altered((at, value) => {
        if (at === 'overview') return { ...(value as Members), rabbitmq_version: '4.0.5' };
        return members(queue, { effective_policy_definition: policy })(at, value);
      });
    expectFinding(await on4({}), 'rabbitmq policy', 'fail', /4\.0\.5 drops a receipt that was handed back 20 times/);
    expectFinding(await on4({ 'delivery-limit': 50 }), 'rabbitmq policy', 'fail', /50 times/);
    expectFinding(await on4({ 'delivery-limit': 1_000_000_000 }), 'rabbitmq policy', 'ok', /as often as it has to/);
    // What the server of the tests has by rabbitmq/definitions.json.
    const real = await altered((at, value) =>
      at === 'overview' ? { ...(value as Members), rabbitmq_version: '4.0.5' } : value,
    );
    expectFinding(real, 'rabbitmq policy', 'ok', /as often as it has to/);
  });

  it('tells of the user guest', async () => {
    await callManagement(rig.rabbitMq, 'PUT', ['users', 'guest'], { password: 'guest', tags: '' });
    try {
      expectFinding(await rig.run(), 'rabbitmq guest', 'fail', /user guest/);
    } finally {
      await callManagement(rig.rabbitMq, 'DELETE', ['users', 'guest']);
    }
    expectFinding(await rig.run(), 'rabbitmq guest', 'ok', /no user guest/);
  });

  it('tells of a consumer that may do more than read telemetry', async () => {
    const path = ['permissions', rig.vhost, 'writ-consumer'];
    const before = (await callManagement(rig.rabbitMq, 'GET', path)) as Members;
    await callManagement(rig.rabbitMq, 'PUT', path, { configure: '^$', write: '.*', read: '.*' });
    try {
      const findings = await rig.run();
      expectFinding(findings, 'rabbitmq user writ-consumer', 'warn', /may do more .*write on/);
    } finally {
      await callManagement(rig.rabbitMq, 'PUT', path, before);
    }
  });

  it('says what a user with the tag monitoring alone does not see', async () => {
    await callManagement(rig.rabbitMq, 'PUT', ['users', 'watcher'], { password: 'watcher', tags: 'monitoring' });
    try {
      const user = { RABBITMQ_MANAGEMENT_USER: 'watcher', RABBITMQ_MANAGEMENT_PASSWORD: 'watcher' };
      const findings = await rig.run(user);
      expect(troubles(findings)).to.deep.equal([]);
      expectFinding(findings, 'rabbitmq plugins', 'ok', /are enabled/);
      expectFinding(findings, 'rabbitmq guest', 'ok', /Not checked: .* administrator/);
      expectFinding(findings, 'rabbitmq user writ-orchestrator', 'ok', /Not checked: .* administrator/);
    } finally {
      await callManagement(rig.rabbitMq, 'DELETE', ['users', 'watcher']);
    }
  });

  it('goes on where the API answers nonsense', async () => {
    const findings = await altered((at, value) => (at === 'nodes' ? 500 : value));
    expectFinding(findings, 'rabbitmq management', 'fail', /status 500/);
    expectFinding(findings, 'rabbitmq rights', 'ok', /may do what it needs/);
  });
});
