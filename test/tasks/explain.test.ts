import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { explainTask, type SystemState } from '../../src/tasks/explain.ts';
import { cancelTask } from '../../src/tasks/cancel.ts';
import { noopTask, openRooms, type Rooms } from './rooms.ts';

const well: SystemState = { signer_ok: true, broker_ok: true, fenced_reason: null, leading: true };

describe('explaining why a task does not run', () => {
  let rooms: Rooms;
  let nodeId: string;

  before(async () => {
    rooms = await openRooms();
  });

  after(() => rooms.close());

  const one = async (task: object = noopTask): Promise<string> => (await rooms.submit([task]))[0]?.task_id ?? '';
  const codes = async (id: string, system: SystemState = well): Promise<string[]> =>
    (await explainTask(rooms.database, id, { catalog: rooms.catalog, system })).reasons.map(({ code }) => code);

  it('says that no node can run it, and what is needed', async () => {
    const id = await one({ ...noopTask, constraints: { rack: '7' } });
    const { reasons, candidate_nodes } = await explainTask(rooms.database, id, {
      catalog: rooms.catalog,
      system: well,
    });
    expect(reasons).to.have.length(1);
    expect(reasons[0]).to.deep.include({ code: 'no_node' });
    expect(reasons[0]?.needs).to.deep.equal({
      tool: 'noop',
      digest: rooms.catalog.tools.get('noop')?.digest,
      constraints: { rack: '7' },
    });
    expect(candidate_nodes).to.equal(0);
    nodeId = await rooms.addNode({ slots: 2 });
    expect(await codes(id)).to.deep.equal(['no_node']);
    await rooms.addNode({ labels: { rack: '7' } });
    expect(await codes(id)).to.deep.equal(['in_line']);
    await cancelTask(rooms.command(id), {}, rooms.commands);
    expect(await codes(id)).to.deep.equal(['ended']);
  });

  it('does not count nodes that are silent, watch only, or have another version of the tool', async () => {
    await rooms.database.query(`update nodes set status = 'unhealthy'`);
    const id = await one();
    expect(await codes(id)).to.deep.equal(['no_node']);
    await rooms.database.query(`update nodes set status = 'active'`);
    expect(await codes(id)).to.deep.equal(['in_line']);
    const undo = new Error('undo');
    for (const change of ['lease_until = now()', 'slots = 0', `capabilities = '{"noop": "sha256:0"}'`]) {
      const changed = rooms.database.transaction(async (tx) => {
        await tx.query(`update nodes set ${change}`);
        const { reasons } = await explainTask(tx, id, { catalog: rooms.catalog, system: well });
        expect(reasons[0]?.code, change).to.equal('no_node');
        throw undo;
      });
      expect(await changed.catch((error: unknown) => error)).to.equal(undo);
    }
  });

  it('says what the system lacks, the gravest first', async () => {
    const id = await one();
    const down = { signer_ok: false, broker_ok: false, fenced_reason: 'log_shorter_than_mark', leading: false };
    expect(await codes(id, down)).to.deep.equal(['fenced', 'signer_down', 'broker_down', 'not_leading']);
  });

  it('tells a time that was asked for from one that a retry waits for', async () => {
    const runAt = new Date(Date.now() + 60_000).toISOString();
    const id = await one({ ...noopTask, run_at: runAt });
    const { reasons } = await explainTask(rooms.database, id, { catalog: rooms.catalog, system: well });
    expect(reasons[0]).to.include({ code: 'run_at', until: runAt });
    const retried = await one();
    const [order] = await rooms.dispatch([retried]);
    if (order !== undefined) await rooms.move(order, 'waiting', { wake_at: new Date(runAt), reason: 'timed_out' });
    expect(await codes(retried)).to.deep.equal(['retry_backoff']);
  });

  it('says when every node is full, and how many go before', async () => {
    const ids = (await rooms.submit(Array.from({ length: 8 }, () => ({ ...noopTask, source: 'many' })))).map(
      ({ task_id }) => task_id,
    );
    await rooms.submit([{ ...noopTask, source: 'many', constraints: { rack: '9' }, priority: 100 }]);
    await rooms.database.query(`update nodes set status = 'unhealthy' where node_id <> $1`, [nodeId]);
    await rooms.dispatch(ids.slice(0, 2), nodeId);
    const last = ids.at(-1) ?? '';
    const { reasons } = await explainTask(rooms.database, last, { catalog: rooms.catalog, system: well });
    expect(reasons[0]).to.include({ code: 'no_free_slot', ahead: 5 });
  });

  it('follows a task that a node has', async () => {
    const id = await one();
    const [order] = await rooms.dispatch([id]);
    if (order === undefined) throw new Error('no order');
    expect(await codes(id)).to.deep.equal(['dispatched_to_node']);
    await rooms.move(order, 'running', { by_node: order.node_id });
    expect(await codes(id)).to.deep.equal(['running']);
    await cancelTask(rooms.command(id), {}, rooms.commands);
    expect(await codes(id)).to.deep.equal(['cancel_requested', 'running']);
    await rooms.move(order, 'in_doubt');
    expect(await codes(id)).to.deep.equal(['in_doubt']);
  });
});
