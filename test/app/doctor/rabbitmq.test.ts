/** `writ doctor` and what can be wrong with RabbitMQ: the way to it, what is on it, and what its user may do. */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { connect, credentials } from 'amqplib';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import type { Topology } from '../../../src/domain/broker.ts';
import { callManagement } from '../../support/rabbitmq-api.ts';
import { connectTestRabbitMq, tlsOf } from '../../support/rabbitmq-client.ts';
import { realPartsMissing } from '../../support/services.ts';
import { greeting, startFakeBroker } from './fake-broker.ts';
import { expectFinding, makeDoctorRig, troubles, type DoctorRig, type Environment } from './rig.ts';

const telemetryDeath = { deadLetterExchange: '', deadLetterRoutingKey: 'telemetry.events.dlq' };
const good: Topology = {
  exchanges: [
    { name: 'writ.receipts', type: 'direct' },
    { name: 'spectrastrike.telemetry', type: 'topic' },
  ],
  queues: [
    { name: 'writ.receipts', type: 'quorum' },
    { name: 'telemetry.events', type: 'quorum', ...telemetryDeath },
    { name: 'telemetry.events.dlq', type: 'quorum' },
  ],
  bindings: [],
};

describe('writ doctor and RabbitMQ', function () {
  this.timeout(90_000);
  let rig: DoctorRig;
  const vhosts: string[] = [];

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    rig = await makeDoctorRig();
  });
  after(() => rig.stop());
  afterEach(async () => {
    for (const vhost of vhosts.splice(0)) await rig.rabbitMq.deleteVhost(vhost);
  });

  /** A virtual host of the test's own, and the settings that name it. */
  async function vhostWith(topology: Topology): Promise<{ vhost: string; settings: Environment }> {
    const vhost = `doctor-${randomUUID()}`;
    await rig.rabbitMq.createVhost(vhost, { anyName: true });
    vhosts.push(vhost);
    const broker = await connectTestRabbitMq({ service: rig.rabbitMq, vhost });
    await broker.declare(topology);
    await broker.close();
    return { vhost, settings: { RABBITMQ_URL: `${rig.rabbitMq.url}/${vhost}` } };
  }

  async function depths(vhost: string): Promise<unknown> {
    return callManagement(rig.rabbitMq, 'GET', ['queues', vhost]);
  }

  describe('on the way to it', () => {
    function files(user: 'other-ca' | 'expired' | 'server'): Environment {
      const { certPath, keyPath } = rig.rabbitMq.certificate(user);
      return { RABBITMQ_SSL_CERTFILE: certPath, RABBITMQ_SSL_KEYFILE: keyPath };
    }

    async function expectWrong(changes: Environment, words: RegExp): Promise<void> {
      const findings = await rig.run(changes);
      expectFinding(findings, 'rabbitmq', 'fail', words);
      expectFinding(findings, 'rabbitmq queues', 'warn', /Not checked/);
      expectFinding(findings, 'vault key writ-log', 'ok', /signs/);
    }

    it('names the wrong authority', async () => {
      const other = join(dirname(rig.rabbitMq.caPath), '../other-ca-authority/ca.pem');
      await expectWrong({ RABBITMQ_SSL_CAFILE: other }, /not signed by the authority in RABBITMQ_SSL_CAFILE/);
    });

    it('names the wrong name', async () => {
      await expectWrong({ RABBITMQ_SSL_SERVERNAME: 'broker.example' }, /certificate is for another name/);
    });

    it('names a client certificate of another authority', async () => {
      await expectWrong(files('other-ca'), /does not know the authority of the certificate in RABBITMQ_SSL_CERTFILE/);
    });

    it('names a client certificate that has expired, by its file and by what RabbitMQ says', async () => {
      await expectWrong(files('expired'), /certificate in RABBITMQ_SSL_CERTFILE has expired/);
      expectFinding(await rig.run(files('expired')), 'certificate RABBITMQ_SSL_CERTFILE', 'fail', /expired at/);
    });

    it('names a user that RabbitMQ does not know', async () => {
      const { certPath, keyPath } = await rig.rabbitMq.issue('nobody-knows');
      const changes = { RABBITMQ_SSL_CERTFILE: certPath, RABBITMQ_SSL_KEYFILE: keyPath };
      await expectWrong(changes, /knows no user of the common name/);
    });

    it('names a key that is another’s', async () => {
      const { keyPath } = rig.rabbitMq.certificate('writ-consumer');
      await expectWrong({ RABBITMQ_SSL_KEYFILE: keyPath }, /RABBITMQ_SSL_KEYFILE/);
      const findings = await rig.run({ RABBITMQ_SSL_KEYFILE: keyPath });
      expectFinding(findings, 'certificate RABBITMQ_SSL_CERTFILE', 'fail', /the key is that of another certificate/);
    });

    it('names a virtual host that is not there', async () => {
      await expectWrong({ RABBITMQ_URL: `${rig.rabbitMq.url}/nowhere` }, /virtual host in RABBITMQ_URL does not exist/);
    });

    it('names an address at which nothing listens, and one without TLS', async () => {
      await expectWrong({ RABBITMQ_URL: 'amqps://localhost:1' }, /nothing listens at RABBITMQ_URL/);
      await expectWrong({ RABBITMQ_URL: 'amqp://localhost' }, /over TLS only/);
    });

    it('tells of a RabbitMQ that is too old, and of one that takes passwords', async () => {
      const { cert, key } = tlsOf(rig.rabbitMq, 'server');
      for (const [version, level] of [
        ['3.9.29', 'fail'],
        ['3.10.0', 'ok'],
        ['4.1.0', 'ok'],
      ] as const) {
        const broker = await startFakeBroker({ cert, key }, { version, mechanisms: 'EXTERNAL PLAIN' });
        const findings = await rig.run({ RABBITMQ_URL: broker.url });
        broker.close();
        expectFinding(findings, 'rabbitmq', level, new RegExp(version.replaceAll('.', '\\.')));
        expectFinding(findings, 'rabbitmq mechanisms', 'fail', /by password: it offers PLAIN/);
        expectFinding(findings, 'rabbitmq', 'fail', /connection to RabbitMQ was lost/);
      }
    });

    it('tells of a listener without TLS beside it, and of nothing else that listens there', async () => {
      for (const [answer, level] of [
        [greeting('4.0.5', 'PLAIN AMQPLAIN'), 'warn'],
        [Buffer.from('220 ready\r\n'), 'ok'],
      ] as const) {
        const server = createServer((socket) => {
          socket.on('error', () => undefined).end(answer);
        });
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const { port } = server.address() as AddressInfo;
        const findings = await rig.run({}, { plainAmqpPort: port });
        expectFinding(findings, 'rabbitmq plain listener', level, /AMQP without TLS/);
        server.close();
      }
    });
  });

  describe('on what is there', () => {
    it('finds nothing to say of what is as it has to be, and leaves it so', async () => {
      const { vhost, settings } = await vhostWith(good);
      const before = JSON.stringify(await names(vhost));
      const findings = await rig.run(settings);
      // This virtual host lets the user do anything, and the database of this rig holds no log yet.
      expect(troubles(findings)).to.deep.equal(['warn rabbitmq user writ-orchestrator', 'warn log and mark']);
      expect(JSON.stringify(await names(vhost))).to.equal(before);
      async function names(of: string): Promise<string[]> {
        return ((await depths(of)) as { name: string }[]).map(({ name }) => name).sort();
      }
    });

    it('says what is not there yet, and does not make it', async () => {
      const { vhost, settings } = await vhostWith({ exchanges: [], queues: [], bindings: [] });
      for (let i = 0; i < 2; i++) {
        const findings = await rig.run(settings);
        expectFinding(findings, 'queue writ.receipts', 'warn', /has no queue/);
        expectFinding(findings, 'exchange spectrastrike.telemetry', 'warn', /has no exchange/);
      }
      expect(await depths(vhost)).to.deep.equal([]);
    });

    it('names a queue of another type', async () => {
      const { settings } = await vhostWith({ ...good, queues: [{ name: 'writ.receipts', type: 'classic' }] });
      const findings = await rig.run(settings);
      expectFinding(
        findings,
        'queue writ.receipts',
        'fail',
        /writ\.receipts is a classic queue and has to be a quorum/,
      );
      const { hint } = findings.find(({ check }) => check === 'queue writ.receipts')!;
      expect(hint).to.include('rabbitmqctl delete_queue writ.receipts');
      expectFinding(findings, 'queue telemetry.events', 'warn', /has no queue/);
    });

    it('names every argument in which a queue differs', async () => {
      const { vhost, settings } = await vhostWith({ exchanges: [], queues: [], bindings: [] });
      const put = (name: string, options: object): Promise<unknown> =>
        callManagement(rig.rabbitMq, 'PUT', ['queues', vhost, name], { durable: true, ...options });
      const queueArguments = { 'x-queue-type': 'quorum', 'x-overflow': 'drop-head', 'x-dead-letter-exchange': 'other' };
      await put('telemetry.events', { arguments: queueArguments });
      await put('telemetry.events.dlq', { arguments: { 'x-message-ttl': 60_000, 'x-max-length': 5 } });
      await put('writ.receipts', { durable: false, arguments: {} });
      const findings = await rig.run(settings);
      const words = (check: string): string => findings.find((finding) => finding.check === check)!.message;
      expect(words('queue telemetry.events')).to.include('x-dead-letter-exchange is "other" and has to be ""');
      expect(words('queue telemetry.events')).to.include('x-overflow is "drop-head" and has to be "reject-publish"');
      expect(words('queue telemetry.events')).to.include('x-dead-letter-strategy is not set');
      expect(words('queue telemetry.events.dlq')).to.include('is a classic queue and has to be a quorum one');
      expect(words('queue telemetry.events.dlq')).to.include('x-message-ttl is "60000" and must not be set');
      expect(words('queue telemetry.events.dlq')).to.include('x-max-length is "5" and must not be set');
      expect(words('queue writ.receipts')).to.include('durable is "false" and has to be "true"');
    });

    it('names a queue that is another connection’s own', async () => {
      const { vhost, settings } = await vhostWith({ exchanges: [], queues: [], bindings: [] });
      const address = { protocol: 'amqps', hostname: 'localhost', port: rig.rabbitMq.port, vhost };
      const model = await connect(
        { ...address, username: '', password: '' },
        { ...tlsOf(rig.rabbitMq, 'writ-orchestrator'), credentials: credentials.external() },
      );
      await (await model.createChannel()).assertQueue('writ.receipts', { exclusive: true });
      const findings = await rig.run(settings);
      await model.close();
      expectFinding(findings, 'queue writ.receipts', 'fail', /exclusive is "true" and has to be "false"/);
    });

    it('names an exchange of another type', async () => {
      const { vhost, settings } = await vhostWith({ exchanges: [], queues: [], bindings: [] });
      await callManagement(rig.rabbitMq, 'PUT', ['exchanges', vhost, 'spectrastrike.telemetry'], {
        ...{ type: 'fanout', durable: true },
      });
      const findings = await rig.run(settings);
      expectFinding(findings, 'exchange spectrastrike.telemetry', 'fail', /is a fanout exchange and has to be a topic/);
    });
  });

  describe('on the rights of its user', () => {
    async function rightsFor(rights: Partial<Record<'configure' | 'write' | 'read', string>>): Promise<Environment> {
      const { vhost, settings } = await vhostWith(good);
      const all = { configure: '.*', write: '.*', read: '.*', ...rights };
      await callManagement(rig.rabbitMq, 'PUT', ['permissions', vhost, 'writ-orchestrator'], all);
      return settings;
    }

    it('says that it may make no queues of nodes', async () => {
      const findings = await rig.run(await rightsFor({ configure: '^(writ\\.receipts|spectra.*|telemetry.*)$' }));
      expectFinding(findings, 'rabbitmq rights', 'fail', /refuses .* "configure" on the queue writ\.node\./);
      expectFinding(findings, 'rabbitmq rights', 'fail', /refuses .* "configure" on the queue writ\.epoch\./);
      expectFinding(findings, 'queue writ.receipts', 'ok', /as it has to be/);
      expectFinding(findings, 'rabbitmq user writ-orchestrator', 'fail', /lacks configure on writ\.node\./);
    });

    it('says that it may not make a queue or an exchange', async () => {
      const findings = await rig.run(await rightsFor({ configure: '^writ\\.(node|epoch)\\.' }));
      expectFinding(findings, 'queue writ.receipts', 'fail', /refuses .* "configure" on the queue writ\.receipts/);
      expectFinding(findings, 'exchange writ.receipts', 'fail', /"configure" on the exchange writ\.receipts/);
    });

    it('says that it may not send orders', async () => {
      const findings = await rig.run(await rightsFor({ write: '^(writ\\.receipts|spectra.*|telemetry.*)$' }));
      expectFinding(findings, 'rabbitmq rights', 'fail', /refuses .* "write" on the exchange amq\.default/);
    });

    it('says that it may not publish telemetry, nor read receipts', async () => {
      const noTelemetry = await rig.run(await rightsFor({ write: '^(amq\\.default|writ\\.receipts|telemetry.*)$' }));
      expectFinding(noTelemetry, 'rabbitmq rights', 'fail', /"write" on the exchange spectrastrike\.telemetry/);
      const noReceipts = await rig.run(await rightsFor({ read: '^(spectra.*|telemetry.*)$' }));
      expectFinding(noReceipts, 'rabbitmq rights', 'fail', /"read" on the exchange writ\.receipts/);
    });

    it('says that it may do nothing', async () => {
      const findings = await rig.run(await rightsFor({ configure: '^$', write: '^$', read: '^$' }));
      expectFinding(findings, 'rabbitmq', 'ok', /takes the client certificate/);
      expectFinding(findings, 'rabbitmq rights', 'fail', /refuses the user writ-orchestrator/);
      expectFinding(findings, 'rabbitmq user writ-orchestrator', 'fail', /lacks .* and \d+ more/);
    });

    it('says that it may do more than it needs', async () => {
      const findings = await rig.run(await rightsFor({}));
      expectFinding(findings, 'rabbitmq rights', 'ok', /may do what it needs/);
      expectFinding(findings, 'rabbitmq user writ-orchestrator', 'warn', /may do more than it needs/);
    });
  });
});
