import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { newId, type BootId } from '../../src/domain/ids.ts';
import { readNodePage } from '../../src/fleet/fleet-sql.ts';
import { NodeRegistry } from '../../src/fleet/registry.ts';
import type { Database } from '../../src/platform/postgres/pool.ts';
import { startTestFleet, type TestFleet, type TestNode } from './test-fleet.ts';

describe('what an orchestrator knows of its nodes', () => {
  let test: TestFleet;
  let node: TestNode;
  let changes: number;

  beforeEach(async () => {
    changes = 0;
    test = await startTestFleet({ onNodesChanged: () => (changes += 1) });
    node = await test.join();
    await test.beat(node);
  });

  afterEach(() => test.drop());

  const ready = (): string[] => test.fleet.registry.ready().map(({ node_id }) => node_id);

  it('has a node that reported as ready for orders', () => {
    expect(ready()).to.deep.equal([node.nodeId]);
  });

  it('has no node ready that has said that it stops, from its word on', async () => {
    const before = changes;
    await test.beat(node, { status: 'terminating' });
    expect(ready()).to.deep.equal([]);
    expect(changes).to.equal(before + 1);
  });

  it('has a node ready again that stopped and has started', async () => {
    await test.beat(node, { status: 'terminating' });
    await test.beat(node, { bootId: newId<BootId>() });
    expect(ready()).to.deep.equal([node.nodeId]);
  });

  it('takes the slots of a node as they are told', async () => {
    await test.beat(node, { slots: 7 });
    expect(test.fleet.registry.ready()).to.have.nested.property('[0].slots', 7);
  });

  it('reads nothing again where a node says what it said before', async () => {
    const before = changes;
    await test.beat(node);
    expect(changes).to.equal(before);
  });

  it('reads what nodes tell of themselves where that has changed, and no more', async () => {
    const { database } = test.log;
    const read: unknown[] = [];
    const counted: Database = {
      ...database,
      query: (statement, values) => {
        if (typeof statement === 'object' && statement.name === 'read_node_descriptions') read.push(statement);
        return database.query<never>(statement, values);
      },
    };
    const registry = new NodeRegistry(counted);
    const digest = `sha256:${'a'.repeat(64)}`;
    await registry.load();
    await test.beat(node);
    await registry.load();
    expect(read).to.have.lengthOf(1);
    await test.beat(node, { capabilities: [{ tool: 'a.tool', digest }] });
    await registry.load();
    expect(read).to.have.lengthOf(2);
    expect(registry.ready()).to.have.deep.nested.property('[0].capabilities', { 'a.tool': digest });
  });

  it('keeps what it knows of one node while it reads all of them', async () => {
    const { database } = test.log;
    const slow: Database = {
      ...database,
      query: async (statement, values) => {
        const read = await database.query<never>(statement, values);
        const isOfAll = typeof statement === 'object' && statement.name === 'read_node_states';
        if (isOfAll) await database.query('select pg_sleep(0.2)');
        return read;
      },
    };
    const registry = new NodeRegistry(slow);
    const all = registry.load();
    await database.query('update nodes set slots = 9');
    await Promise.all([all, registry.loadNode(node.nodeId)]);
    expect(registry.find(node.nodeId)).to.include({ slots: 9 });
  });

  it('is listed by pages in the order of ids, with the number of all, without those that have gone', async () => {
    const { database } = test.log;
    const gone = await test.join();
    await database.query(`update nodes set status = 'gone' where node_id = $1`, [gone.nodeId]);
    const ids = [node, await test.join(), await test.join()].map(({ nodeId }) => nodeId).sort();
    const first = await readNodePage(database, null, 2);
    const rest = await readNodePage(database, ids[1] ?? null, 2);
    expect([first, rest].map(({ nodes }) => nodes.map(({ node_id }) => node_id))).to.deep.equal([
      ids.slice(0, 2),
      ids.slice(2),
    ]);
    expect([first.total, rest.total]).to.deep.equal([3, 3]);
  });

  it('forgets a node that has gone', async () => {
    await test.log.database.query(`update nodes set status = 'gone'`);
    await test.fleet.registry.loadNode(node.nodeId);
    expect(test.fleet.registry.find(node.nodeId)).to.equal(undefined);
  });
});
