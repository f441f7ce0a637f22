import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { generateApiKey, parseApiKey } from '../../src/aaa/api-key.ts';
import type { AppError } from '../../src/domain/error.ts';
import type { Heartbeat } from '../../src/domain/node.ts';
import { Leases } from '../../src/fleet/leases.ts';
import { readTrustedKeys } from '../../src/ledger/trust.ts';
import { newId, type BootId } from '../../src/domain/ids.ts';
import { startTestFleet, type TestFleet, type TestNode } from './test-fleet.ts';

describe('heartbeats', () => {
  let test: TestFleet;
  let nodes: TestNode[];
  let known: Pick<Heartbeat, 'config_version' | 'manifest_kids'>;

  beforeEach(async () => {
    test = await startTestFleet();
    nodes = [];
    for (let n = 0; n < 20; n++) nodes.push(await test.join());
    for (const node of nodes) await test.beat(node);
    const { config_version } = await test.beat(nodes[0]!);
    const keys = await readTrustedKeys(test.log.database);
    known = { config_version, manifest_kids: keys.map(({ kid }) => kid) };
  });

  afterEach(() => test.drop());

  const statements = async (work: () => Promise<unknown>): Promise<number> => {
    const before = test.log.database.statements();
    await work();
    return test.log.database.statements() - before;
  };
  const leases = async (): Promise<Map<string, number>> => {
    const { rows } = await test.log.database.query<{ node_id: string; lease_until: Date }>('select * from nodes');
    return new Map(rows.map(({ node_id, lease_until }) => [node_id, lease_until.getTime()]));
  };

  it('cost one statement each', async () => {
    expect(await statements(() => test.beat(nodes[0]!, known))).to.equal(1);
  });

  it('cost two statements for all that come together, and renew the lease of each', async () => {
    const before = await leases();
    expect(await statements(() => Promise.all(nodes.map((node) => test.beat(node, known))))).to.be.at.most(2);
    const after = await leases();
    for (const { nodeId } of nodes) expect(after.get(nodeId)).to.be.greaterThan(before.get(nodeId)!);
  });

  it('are refused by themselves where a credential is wrong', async () => {
    const told = nodes.map((node, n) => (n % 3 === 0 ? { ...node, credential: generateApiKey('node') } : node));
    const answers = await Promise.allSettled(told.map((node) => test.beat(node)));
    answers.forEach((answer, n) => {
      if (n % 3 === 0) expect(answer).to.have.nested.property('reason.reason', 'unauthenticated');
      else expect(answer).to.have.property('status', 'fulfilled');
    });
  });

  it('of one node that come together go one after the other', async () => {
    const [node] = nodes as [TestNode];
    const boots = [newId<BootId>(), newId<BootId>()];
    await Promise.all(boots.map((bootId) => test.beat(node, { bootId })));
    const { rows } = await test.log.database.query('select boot_id from nodes where node_id = $1', [node.nodeId]);
    expect(rows).to.deep.equal([{ boot_id: boots[1] }]);
  });

  it('of one node are refused where very many wait, and those of others are not', async () => {
    const [node, other] = nodes as [TestNode, TestNode];
    const answers = await Promise.allSettled([...Array.from({ length: 22 }, () => test.beat(node)), test.beat(other)]);
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as AppError] : []));
    expect(refused).to.have.lengthOf(6);
    expect(new Set(refused.map(({ reason }) => reason))).to.deep.equal(new Set(['overloaded']));
    expect(answers.at(-1)).to.have.property('status', 'fulfilled');
  });

  it('of others are taken where the database refuses one', async () => {
    const leases = new Leases(test.log.database, 60);
    const renewals = nodes.map(({ nodeId, credential, bootId }, n) => ({
      ...{ node_id: nodeId, boot_id: bootId, slots: 1, capabilities: {}, receipts_through: -1 },
      credential_sha256: parseApiKey(credential)?.sha256 ?? Buffer.alloc(0),
      // A text that no jsonb holds.
      metrics: n === 3 ? { '\0': 1 } : {},
    }));
    const answers = await Promise.allSettled(renewals.map((renewal) => leases.renew(renewal)));
    const failed = answers.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []));
    expect(failed).to.deep.equal([3]);
  });

  it('wait for none before them whose node is locked', async () => {
    const [locked, other, third] = nodes as [TestNode, TestNode, TestNode];
    let waiting: Promise<unknown> = Promise.resolve();
    await test.log.database.transaction(async (tx) => {
      await tx.query('select from nodes where node_id = $1 for update', [locked.nodeId]);
      // All in one batch.
      waiting = test.beat(locked);
      waiting.catch(() => undefined);
      await Promise.all([test.beat(other), test.beat(third)]);
    });
    // It is answered when its node is free.
    expect(await waiting).to.have.property('lease_until');
  });

  it('of a boot in capital letters are of the same boot', async () => {
    const [node] = nodes as [TestNode];
    await test.beat(node, { bootId: node.bootId.toUpperCase() });
    const { rows } = await test.log.database.query('select boot_id from nodes where node_id = $1', [node.nodeId]);
    expect(rows).to.deep.equal([{ boot_id: node.bootId }]);
  });

  it('of a node that had fallen silent make it active again, once', async () => {
    const [node] = nodes as [TestNode];
    await test.log.database.query(`update nodes set status = 'unhealthy' where node_id = $1`, [node.nodeId]);
    await Promise.all([test.beat(node), test.beat(node)]);
    const records = await test.records('node.status');
    expect(records).to.have.lengthOf(1);
    expect(records[0]).to.deep.include({ reason: 'heartbeats_back', data: { status: 'active' } });
  });
});
