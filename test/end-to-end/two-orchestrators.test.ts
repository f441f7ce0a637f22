/** Two orchestrators on one database and one broker: what is asked of either is done, and one goes on where the other ends. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { Principal } from '../../src/domain/principal.ts';
import { createNotifier, type Notifier } from '../../src/platform/postgres/notify.ts';
import type { ControlLink } from '../../src/worker/control-link.ts';
import { eventually } from './eventually.ts';
import type { Member } from './member.ts';
import { startRig, type Rig } from './rig.ts';

const noop = { tool: 'noop', action: 'run', payload: {} };
/** The leader looks for itself this often: what is much faster was told to it. */
const resyncMs = 5000;
/** Calls that wait look for themselves each second in the API; here they do not. */
const longMs = 20_000;
/** A leader that is silent is followed after its lease, with a look each second. */
const takeOverMs = 8000;

describe('two orchestrators', function () {
  this.timeout(90_000);
  let rig: Rig;
  let operator: Principal;
  let leader: Member;
  let follower: Member;
  let ear: Notifier;

  beforeEach(async () => {
    rig = await startRig({ hasPeers: true, flags: { heartbeat_interval_s: 0.5, node_lease_s: 5 } });
    operator = await rig.principal('integration', ['operator']);
    ear = createNotifier({ database: rig.database, url: rig.url });
    const [first] = rig.members;
    if (first === undefined) throw new Error('no orchestrator');
    leader = first;
    follower = await rig.addMember();
    await bothHeard();
    expect(leading()).to.deep.equal([leader]);
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await ear.close();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  const leading = (): Member[] => rig.members.filter(({ orchestrator }) => orchestrator.engine.state.leading);

  /** Each says once a second that it is there; after three times each has heard the other. */
  async function bothHeard(): Promise<void> {
    let heard = 0;
    const silence = await ear.listen('writ_alive', () => heard++);
    await eventually(() => (heard >= 3 ? true : undefined));
    silence();
  }

  async function submitAt({ orchestrator }: Member, items: readonly object[]): Promise<string[]> {
    const answer = await orchestrator.submitter.submit({
      principal: operator,
      items,
      mode: 'batch',
      requestId: 'test',
    });
    const { results } = JSON.parse(answer.body.toString()) as { results: { task: { task_id: string } }[] };
    return results.map(({ task }) => task.task_id);
  }

  /** A node's calls to one orchestrator, or to another from some moment on. */
  function linkTo(member: () => Member): ControlLink {
    return {
      join: (token, request) => member().orchestrator.fleet.join(token, request, 'test'),
      heartbeat: (credential, nodeId, beat) => member().orchestrator.fleet.heartbeat(credential, nodeId, beat),
    };
  }

  async function endOf(taskId: string): Promise<string | undefined> {
    const { rows } = await rig.database.query<{ state: string }>(
      'select state from results where task_id = $1 and state is not null',
      [taskId],
    );
    return rows[0]?.state;
  }

  /** Waits as a call does that never looks for itself; answers how long it took. */
  async function waitAt({ changes }: Member, taskId: string): Promise<number> {
    const startedMs = performance.now();
    const watch = changes.watch(taskId);
    try {
      while ((await endOf(taskId)) === undefined) await watch.next(longMs, new AbortController().signal);
    } finally {
      watch.stop();
    }
    return performance.now() - startedMs;
  }

  async function expectDone(count: number): Promise<void> {
    await rig.settled(60_000);
    const { rows } = await rig.database.query<{ n: number; first: number }>(
      `select count(*) as n, count(*) filter (where attempt = 1) as first from results where state = 'succeeded'`,
    );
    expect(rows[0]).to.deep.equal({ n: count, first: count });
    expect(rig.log.filter(({ event }) => event === 'receipt.refused')).to.deep.equal([]);
  }

  it('run what is submitted at the one that follows as promptly as at the one that leads', async () => {
    await rig.addNode('alpha');
    const tookMs: number[] = [];
    for (let round = 0; round < 8; round++) {
      const startedMs = performance.now();
      await submitAt(follower, [noop]);
      await rig.settled();
      tookMs.push(performance.now() - startedMs);
    }
    expect(Math.max(...tookMs), tookMs.map(Math.round).join()).to.be.below(resyncMs / 2);
    await expectDone(8);
  });

  it('give a node more as soon as it has finished something, whichever of them has collected the receipt', async () => {
    await rig.addNode('alpha', { slots: 1 });
    const startedMs = performance.now();
    // One runs at a time, and too slowly to be given ahead.
    await submitAt(follower, Array<object>(12).fill({ ...noop, payload: { sleep_ms: 100 } }));
    await rig.settled();
    expect(performance.now() - startedMs).to.be.below(resyncMs);
    await expectDone(12);
  });

  it('wake whoever waits at either, whichever of them has collected the receipt', async () => {
    await rig.addNode('alpha');
    const taskIds: string[] = [];
    for (let round = 0; round < 16; round++) {
      const [taskId = ''] = await submitAt(round % 2 === 0 ? leader : follower, [noop]);
      taskIds.push(taskId);
      const tookMs = await Promise.all([waitAt(leader, taskId), waitAt(follower, taskId)]);
      expect(Math.max(...tookMs), tookMs.map(Math.round).join()).to.be.below(longMs / 4);
    }
    const collected = [leader, follower].map(({ ended }) => taskIds.filter((taskId) => ended.has(taskId)).length);
    expect(collected[0], 'both collect').to.be.above(0);
    expect(collected[1], 'both collect').to.be.above(0);
    expect((collected[0] ?? 0) + (collected[1] ?? 0), 'each end is brought about once').to.equal(taskIds.length);
    await expectDone(16);
  });

  it('wake whoever waits at the one that follows for a task that expires', async () => {
    const expires_at = new Date(Date.now() + 1500).toISOString();
    const [expiring = ''] = await submitAt(follower, [{ ...noop, expires_at }]);
    expect(await waitAt(follower, expiring)).to.be.below(longMs / 2);
    expect(await endOf(expiring)).to.equal('expired');
  });

  it('believe the receipts of nodes that joined through either', async () => {
    const nodes = [
      await rig.addNode('alpha', { slots: 4, wrapLink: () => linkTo(() => leader) }),
      await rig.addNode('beta', { slots: 4, wrapLink: () => linkTo(() => follower) }),
    ];
    const ready = ({ orchestrator }: Member): number => orchestrator.fleet.registry.ready().length;
    await eventually(() => (rig.members.every((member) => ready(member) === 2) ? true : undefined));
    const slow = Array<object>(40).fill({ ...noop, payload: { sleep_ms: 20 } });
    await Promise.all([submitAt(leader, slow), submitAt(follower, slow)]);
    await expectDone(80);
    const { rows } = await rig.database.query<{ node_id: string }>('select distinct node_id from results');
    expect(rows.map(({ node_id }) => node_id)).to.have.members(nodes.map(({ nodeId }) => nodeId));
  });

  it('believe the first receipt of a node that the one which collects it has not heard of', async () => {
    const { nodeId } = await rig.addNode('alpha', { wrapLink: () => linkTo(() => follower) });
    // As an orchestrator is in the second before it reads the nodes again.
    await submitAt(leader, Array<object>(20).fill(noop));
    await expectDone(20);
    const { rows } = await rig.database.query<{ node_id: string }>('select distinct node_id from results');
    expect(rows).to.deep.equal([{ node_id: nodeId }]);
  });

  it('do each task once where both are given many at once', async () => {
    await rig.addNode('alpha', { slots: 20 });
    await rig.addNode('beta', { slots: 20, wrapLink: () => linkTo(() => follower) });
    const many = Array<object>(15).fill(noop);
    const batches = Array.from({ length: 20 }, (_, i) => submitAt(i % 2 === 0 ? leader : follower, many));
    const taskIds = (await Promise.all(batches)).flat();
    expect(new Set(taskIds).size).to.equal(300);
    await expectDone(300);
  });

  it('go on at once where the one that leads is stopped in order', async () => {
    await rig.addNode('alpha', { wrapLink: () => linkTo(() => follower) });
    await submitAt(leader, Array<object>(20).fill(noop));
    await leader.stop();
    const startedMs = performance.now();
    const [taskId = ''] = await submitAt(follower, [noop]);
    await waitAt(follower, taskId);
    expect(performance.now() - startedMs).to.be.below(resyncMs / 2);
    expect(leading()).to.deep.equal([follower]);
    await expectDone(21);
  });

  it('go on within its lease where the one that leads dies; nothing that was accepted is lost, nothing runs twice', async () => {
    let alive = leader;
    await rig.addNode('alpha', { slots: 20, wrapLink: () => linkTo(() => alive) });
    await rig.addNode('beta', { slots: 20, wrapLink: () => linkTo(() => follower) });
    const slow = Array<object>(60).fill({ ...noop, payload: { sleep_ms: 300 } });
    await submitAt(leader, slow);
    await submitAt(follower, slow);
    await leader.kill();
    alive = follower;
    await submitAt(follower, Array<object>(20).fill(noop));
    await eventually(() => (follower.orchestrator.engine.state.leading ? true : undefined), takeOverMs);
    await rig.settled(60_000);
    const { rows } = await rig.database.query<{ n: number; tasks: number }>(
      `select count(*) as n, count(distinct task_id) as tasks from results where state = 'succeeded'`,
    );
    expect(rows[0]).to.deep.equal({ n: 140, tasks: 140 });
    const { rows: terms } = await rig.database.query<{ term: number }>('select term from leader');
    expect(terms).to.deep.equal([{ term: 2 }]);
  });

  it('do not both write the log where the one that led was only paused: it is shut out by its term', async () => {
    await rig.addNode('alpha', { wrapLink: () => linkTo(() => follower) });
    await submitAt(leader, [noop]);
    await rig.settled();
    // As if its process had been stopped for longer than its lease, and were running again.
    await rig.database.query(`update leader set expires_at = clock_timestamp() - interval '1 second'`);
    await eventually(async () => {
      const { rows } = await rig.database.query<{ term: number }>('select term from leader');
      return (rows[0]?.term ?? 0) > 1 && leading().length === 1 ? true : undefined;
    }, takeOverMs);
    const many = Array<object>(20).fill(noop);
    await Promise.all([submitAt(leader, many), submitAt(follower, many)]);
    await expectDone(41);
  });
});
