/** What nodes may do on the broker: two things, whatever the broker is asked and whoever asks it. */

import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { nodeQueue, receiptsExchange, receiptsQueue } from '../../src/domain/queues.ts';
import { decideBrokerAccess, type BrokerQuestion } from '../../src/fleet/broker-access.ts';
import { NodeRegistry } from '../../src/fleet/registry.ts';
import { startTestFleet, type TestFleet, type TestNode } from './test-fleet.ts';

const vhost = '/';
const unknownId = '00000000-0000-7000-8000-0000000000ff';

describe('the rights of a node on the broker', () => {
  let test: TestFleet;
  let node: TestNode;
  let other: TestNode;
  let quarantined: TestNode;

  before(async () => {
    test = await startTestFleet();
    [node, other, quarantined] = [await test.join(), await test.join(), await test.join()];
    await setStatus(quarantined, 'quarantined');
    await test.fleet.registry.load();
  });
  after(() => test.drop());

  async function setStatus({ nodeId }: TestNode, status: string): Promise<void> {
    await test.log.database.query('update nodes set status = $2 where node_id = $1', [nodeId, status]);
  }

  const decide = (question: BrokerQuestion): ReturnType<typeof decideBrokerAccess> =>
    decideBrokerAccess(question, { registry: test.fleet.registry, vhost });

  const resource = (kind: string, name: string, permission: string, user = node.nodeId): BrokerQuestion => ({
    ...{ about: 'resource', user, vhost, resource: kind, name, permission },
  });

  it('let it in, into the virtual host of Writ alone', async () => {
    const user = node.nodeId;
    expect(await decide({ about: 'user', user })).to.equal(undefined);
    expect(await decide({ about: 'vhost', user, vhost })).to.equal(undefined);
    for (const elsewhere of ['', '//', '/ ', 'other', '/other']) {
      expect(await decide({ about: 'vhost', user, vhost: elsewhere })).to.equal('other_vhost');
      const asked: BrokerQuestion = {
        ...resource('queue', nodeQueue(user), 'read'),
        vhost: elsewhere,
      } as BrokerQuestion;
      expect(await decide(asked)).to.equal('other_vhost');
    }
  });

  it('let it read its own queue, and write to the exchange of receipts', async () => {
    expect(await decide(resource('queue', nodeQueue(node.nodeId), 'read'))).to.equal(undefined);
    expect(await decide(resource('exchange', receiptsExchange, 'write'))).to.equal(undefined);
  });

  it('let it do nothing else with any queue or exchange there is', async () => {
    const own = nodeQueue(node.nodeId);
    const names = [own, nodeQueue(other.nodeId), receiptsQueue, 'amq.default', '', 'spectrastrike.telemetry'];
    const all = [
      ...names,
      'telemetry.events',
      'telemetry.batches',
      'telemetry.events.dlq',
      'writ.epoch.x',
      'amq.topic',
    ];
    const allowed: string[] = [];
    for (const kind of ['queue', 'exchange', 'topic', 'vhost', '']) {
      for (const name of all) {
        for (const permission of ['configure', 'write', 'read', '']) {
          const denial = await decide(resource(kind, name, permission));
          if (denial === undefined) allowed.push(`${permission} ${kind} ${name}`);
          else expect(denial).to.equal('broker_permission');
        }
      }
    }
    expect(allowed).to.have.members([`read queue ${own}`, `write exchange ${receiptsExchange}`]);
  });

  it('give it nothing on topics', async () => {
    expect(await decide({ about: 'topic', user: node.nodeId })).to.equal('broker_permission');
  });

  it('are not moved by names that only look like its own', async () => {
    const own = nodeQueue(node.nodeId);
    const looks = [
      own.toUpperCase(),
      ` ${own}`,
      `${own} `,
      `${own}\n`,
      `${own}\0`,
      `${own}.x`,
      `x${own}`,
      own.slice(0, -1),
      own.replace('writ.node.', ''),
      own.replaceAll('.', '_'),
      own.normalize('NFD').replace('o', 'о'),
      `${own},${receiptsQueue}`,
      '.*',
      '#',
      '__proto__',
      `writ.node.${'a'.repeat(100_000)}`,
    ];
    for (const name of looks) {
      for (const permission of ['read', 'write', 'configure']) {
        expect(await decide(resource('queue', name, permission)), name.slice(0, 80)).to.equal('broker_permission');
      }
      const receipts = name.replace(own, receiptsExchange);
      if (receipts === receiptsExchange) continue;
      expect(await decide(resource('exchange', receipts, 'write'))).to.equal('broker_permission');
    }
    for (const permission of ['Read', 'read ', 'read,write', 'READ', 'write\nread']) {
      expect(await decide(resource('queue', own, permission))).to.equal('broker_permission');
      expect(await decide(resource('exchange', receiptsExchange, permission))).to.equal('broker_permission');
    }
  });

  it('allow two things and no third, whatever is asked', async () => {
    const own = nodeQueue(node.nodeId);
    const word = fc.oneof(
      fc.constantFrom(
        'queue',
        'exchange',
        'read',
        'write',
        'configure',
        own,
        receiptsExchange,
        nodeQueue(other.nodeId),
      ),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(word, word, word, async (kind, name, permission) => {
        const isAllowed = (await decide(resource(kind, name, permission))) === undefined;
        const asked = [kind, name, permission].join('|');
        expect(isAllowed).to.equal([`queue|${own}|read`, `exchange|${receiptsExchange}|write`].includes(asked));
      }),
      { numRuns: 1000 },
    );
  });

  const strangers: [what: string, user: () => string][] = [
    ['nobody', () => ''],
    ['an id of no node', () => unknownId],
    ['a node in capitals', () => node.nodeId.toUpperCase()],
    ['a node with a space', () => `${node.nodeId} `],
    ['a node with a line feed', () => `${node.nodeId}\n`],
    ['a node with NUL', () => `${node.nodeId}\0`],
    ['two nodes', () => `${node.nodeId},${other.nodeId}`],
    ['a node without hyphens', () => node.nodeId.replaceAll('-', '')],
    ['a node in braces', () => `{${node.nodeId}}`],
    ['the orchestrators', () => 'writ-orchestrator'],
    ['guest', () => 'guest'],
    ['SQL', () => `' or 1=1 --`],
    ['__proto__', () => '__proto__'],
    ['half a surrogate pair', () => '\ud800'],
    ['100 kB', () => 'a'.repeat(100_000)],
  ];
  for (const [what, user] of strangers) {
    it(`are nothing for a user of the name of ${what}`, async () => {
      const name = user();
      const questions: BrokerQuestion[] = [
        { about: 'user', user: name },
        { about: 'vhost', user: name, vhost },
        { about: 'topic', user: name },
        resource('queue', nodeQueue(name), 'read', name),
        resource('queue', nodeQueue(node.nodeId), 'read', name),
        resource('exchange', receiptsExchange, 'write', name),
      ];
      for (const question of questions) expect(await decide(question)).to.equal('unknown_node');
    });
  }

  it('are nothing for a node that is quarantined', async () => {
    const user = quarantined.nodeId;
    const questions: BrokerQuestion[] = [
      { about: 'user', user },
      { about: 'vhost', user, vhost },
      { about: 'topic', user },
      resource('queue', nodeQueue(user), 'read', user),
      resource('exchange', receiptsExchange, 'write', user),
    ];
    for (const question of questions) expect(await decide(question)).to.equal('node_quarantined');
  });

  it('end with the node, as soon as this orchestrator reads that it is gone', async () => {
    const leaving = await test.join();
    const user = leaving.nodeId;
    expect(await decide({ about: 'user', user })).to.equal(undefined);
    await setStatus(leaving, 'gone');
    await test.fleet.registry.load();
    expect(await decide({ about: 'user', user })).to.equal('unknown_node');
    expect(await decide(resource('queue', nodeQueue(user), 'read', user))).to.equal('unknown_node');
  });

  it('are there for a node that fell silent: it comes back by them', async () => {
    const silent = await test.join();
    await setStatus(silent, 'unhealthy');
    await test.fleet.registry.load();
    expect(await decide({ about: 'user', user: silent.nodeId })).to.equal(undefined);
    expect(await decide(resource('queue', nodeQueue(silent.nodeId), 'read', silent.nodeId))).to.equal(undefined);
  });

  it('are there at once for a node that joined at another orchestrator', async () => {
    const registry = new NodeRegistry(test.log.database);
    await registry.load();
    const { nodeId } = await test.join();
    expect(registry.find(nodeId)).to.equal(undefined);
    expect(await decideBrokerAccess({ about: 'user', user: nodeId }, { registry, vhost })).to.equal(undefined);
  });

  it('are by certificate alone: a password opens nothing, whoever gives it', async () => {
    for (const user of [node.nodeId, quarantined.nodeId, unknownId, 'guest', '']) {
      expect(await decide({ about: 'password', user })).to.equal('password_login');
    }
  });

  it('are not given where the nodes cannot be read', async () => {
    const closed = await startTestFleet();
    const { registry } = closed.fleet;
    await closed.drop();
    const failure: unknown = await decideBrokerAccess({ about: 'user', user: unknownId }, { registry, vhost }).catch(
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(Error);
  });
});
