import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Principal } from '../../src/domain/principal.ts';
import { createPool, type Database } from '../../src/platform/postgres/pool.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

describe('work of nodes that are lost', function () {
  this.timeout(60_000);
  let rig: Rig;
  let owner: Database;
  let operator: Principal;
  let marker: string;

  beforeEach(async () => {
    rig = await startRig({ flags: { node_lease_s: 1 } });
    owner = createPool({ url: rig.url, max: 2 });
    operator = await rig.principal('integration', ['operator']);
    marker = join(tmpdir(), `writ-marker-${randomUUID()}`);
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await owner.close();
    await rig.stop();
    await rm(marker, { force: true });
    expect(problems).to.deep.equal([]);
  });

  /** Makes the lease of a node, and its manifests, a matter of the past. */
  async function timePasses(nodeId: string): Promise<void> {
    await owner.query({
      text: `update manifests set expires_at = now() - interval '2 minutes', issued_at = now() - interval '3 minutes' where node_id = $1`,
      values: [nodeId],
    });
    await owner.query({
      text: `update nodes set lease_until = now() - interval '1 minute' where node_id = $1`,
      values: [nodeId],
    });
  }

  async function stateOf(taskId: string): Promise<string | undefined> {
    const { rows } = await rig.database.query<{ state: string }>({
      text: `select state from queue where task_id = $1
             union all select state from results where task_id = $1 and state is not null`,
      values: [taskId],
    });
    return rows[0]?.state;
  }

  function until(taskId: string, ...states: string[]): Promise<string> {
    return eventually(async () => {
      const state = await stateOf(taskId);
      return state !== undefined && states.includes(state) ? state : undefined;
    });
  }

  it('goes to another node where it may be repeated', async () => {
    const first = await rig.addNode('first');
    const [task] = await rig.submit(operator, [{ tool: 'noop', action: 'run', payload: { sleep_ms: 1500 } }]);
    const taskId = task?.task_id ?? '';
    await until(taskId, 'dispatched', 'running');
    rig.cutOff(first);
    await rig.addNode('second');
    await eventually(async () => {
      await timePasses(first.nodeId);
      return (await stateOf(taskId)) === 'succeeded' ? true : undefined;
    });
    const { rows } = await rig.database.query({
      text: 'select attempt, status, reason from results where task_id = $1 order by attempt',
      values: [taskId],
    });
    expect(rows[0]).to.deep.equal({ attempt: 1, status: 'lost', reason: 'lease_over' });
    expect(rows[1]).to.include({ attempt: 2, status: 'succeeded' });
  });

  it('is in doubt where it is destructive, until its late receipt settles it', async () => {
    const first = await rig.addNode('first');
    const [task] = await rig.submit(operator, [
      { tool: 'noop', action: 'append', payload: { file: marker, line: 'once', sleep_ms: 2500 } },
    ]);
    const taskId = task?.task_id ?? '';
    // An order that is only on its way would be lost with the connection.
    await until(taskId, 'running');
    const reconnect = rig.cutOff(first);
    await eventually(async () => {
      await timePasses(first.nodeId);
      return (await stateOf(taskId)) === 'in_doubt' ? true : undefined;
    });
    expect(await rig.broker.depth(`writ.node.${first.nodeId}`)).to.equal(0);
    reconnect();
    expect(await until(taskId, 'succeeded', 'failed')).to.equal('succeeded');
    expect(await readFile(marker, 'utf8')).to.equal('once\n');
  });

  it('is sent again where the broker lost the manifest before the node had it', async () => {
    const node = await rig.addNode('first');
    const messages = rig.swallow(node);
    const [task] = await rig.submit(operator, [{ tool: 'noop', action: 'run' }]);
    await eventually(() => (messages.count > 0 ? true : undefined));
    messages.restore();
    await owner.query(`update manifests set issued_at = now() - interval '20 seconds'`);
    expect(await until(task?.task_id ?? '', 'succeeded')).to.equal('succeeded');
    const { rows } = await rig.database.query('select attempt from results');
    expect(rows).to.deep.equal([{ attempt: 1 }]);
  });

  it('is queued again where the manifest expired before the node had it, destructive work too', async () => {
    const node = await rig.addNode('first');
    const messages = rig.swallow(node);
    const [task] = await rig.submit(operator, [
      { tool: 'noop', action: 'append', payload: { file: marker, line: 'once' } },
    ]);
    await eventually(() => (messages.count > 0 ? true : undefined));
    messages.restore();
    await owner.query(
      `update manifests set expires_at = now() - interval '2 minutes', issued_at = now() - interval '3 minutes'`,
    );
    expect(await until(task?.task_id ?? '', 'succeeded')).to.equal('succeeded');
    expect(await readFile(marker, 'utf8')).to.equal('once\n');
    const { rows } = await rig.database.query('select attempt, status, reason from results order by attempt');
    expect(rows[0]).to.deep.equal({ attempt: 1, status: 'lost', reason: 'not_received' });
  });

  it('answers what ran when the node restarts on its data folder', async () => {
    const node = await rig.addNode('first');
    const tasks = await rig.submit(operator, [
      { tool: 'noop', action: 'run', payload: { sleep_ms: 20_000 }, retry: { max_attempts: 1 } },
      { tool: 'noop', action: 'append', payload: { file: marker, line: 'x', sleep_ms: 20_000 } },
    ]);
    for (const { task_id } of tasks) await until(task_id, 'running');
    rig.crash(node);
    await rig.addNode('first');
    for (const { task_id } of tasks) expect(await until(task_id, 'failed', 'succeeded')).to.equal('failed');
    const { rows } = await rig.database.query('select distinct status from results');
    expect(rows).to.deep.equal([{ status: 'interrupted' }]);
  });
});
