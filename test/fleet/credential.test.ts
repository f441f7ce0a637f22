/** What a node proves itself with: generation after generation, whatever is lost or late, and no good to two. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { generateApiKey } from '../../src/aaa/api-key.ts';
import { AppError } from '../../src/domain/error.ts';
import { newId, type BootId } from '../../src/domain/ids.ts';
import { nodeQueue } from '../../src/domain/queues.ts';
import { sha256 } from '../../src/proof/hash.ts';
import { startTestFleet, type TestFleet, type TestNode } from './test-fleet.ts';

const lifetimeS = 600;

describe('the credential of a node', () => {
  let test: TestFleet;
  let node: TestNode;

  beforeEach(async () => {
    test = await startTestFleet({ credentialLifetimeS: lifetimeS });
    node = await test.join();
  });
  afterEach(() => test.drop());

  async function run(text: string, values: unknown[] = []): Promise<void> {
    await test.log.owner.query(text, values);
  }

  /** As if all there is had been handed out so long ago. */
  async function age(seconds: number): Promise<void> {
    await run(
      `update node_credentials set expires_at = expires_at - make_interval(secs => $1),
              issued_at = issued_at - make_interval(secs => $1)`,
      [seconds],
    );
    await run(
      `update nodes set credential_expires_at = credential_expires_at - make_interval(secs => $1),
              promoted_at = promoted_at - make_interval(secs => $1)`,
      [seconds],
    );
  }

  /** What the node is given where half of its credential's life is over; not used yet. */
  async function next(over: Parameters<TestFleet['beat']>[1] = {}): Promise<string> {
    await age(lifetimeS / 2 + 1);
    const { credential } = await test.beat(node, over);
    if (credential === undefined) throw new Error('no credential was handed out');
    return credential;
  }

  /** The next generation in use, with the one before. */
  async function renewed(): Promise<{ old: string; current: string }> {
    const old = node.credential;
    const current = await next();
    await test.beat(node, { credential: current });
    node.credential = current;
    return { old, current };
  }

  async function row(): Promise<{ status: string; generation: number; slots: number }> {
    const { rows } = await test.log.database.query<{ status: string; generation: number; slots: number }>(
      'select status, generation, slots from nodes where node_id = $1',
      [node.nodeId],
    );
    if (rows[0] === undefined) throw new Error('no such node');
    return rows[0];
  }

  async function failureOf(call: Promise<unknown>): Promise<AppError> {
    const failure: unknown = await call.catch((error: unknown) => error);
    if (failure instanceof AppError) return failure;
    throw new Error('not refused', { cause: failure });
  }

  async function expectRefused(reason: string, over: Parameters<TestFleet['beat']>[1] = {}): Promise<void> {
    expect((await failureOf(test.beat(node, over))).reason).to.equal(reason);
  }

  async function expectQuarantined(): Promise<void> {
    expect(await row()).to.include({ status: 'quarantined', slots: 0 });
    const records = await test.records('node.status');
    expect(records).to.have.length(1);
    expect(records[0]).to.include({ reason: 'credential_reused', outcome: 'failure' });
    expect(records[0]?.target).to.deep.equal({ kind: 'node', id: node.nodeId });
    const depth = await test.broker.depth(nodeQueue(node.nodeId)).catch((error: unknown) => error);
    expect(depth).to.include({ code: 'not_found' });
    expect(test.fleet.registry.findKey(node.key.kid)).to.equal(undefined);
  }

  const another = (): string => newId<BootId>();

  it('is not renewed in the first half of its life, and is in the second', async () => {
    expect((await test.beat(node)).credential).to.equal(undefined);
    await age(lifetimeS / 2 - 10);
    expect((await test.beat(node)).credential).to.equal(undefined);
    await age(11);
    expect((await test.beat(node)).credential).to.match(/^writ_node_/);
    expect((await row()).generation).to.equal(1);
  });

  it('is followed by the next with its first use; the node goes on from generation to generation', async () => {
    for (let generation = 2; generation <= 5; generation++) {
      await renewed();
      expect(await row()).to.include({ status: 'active', generation });
      expect((await test.beat(node)).credential, 'it is new').to.equal(undefined);
    }
    expect(await test.records('node.status')).to.deep.equal([]);
  });

  it('stays good until the next is used, however many were handed out and lost', async () => {
    const given = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await age(i === 0 ? lifetimeS / 2 + 1 : lifetimeS / 64);
      const { credential } = await test.beat(node);
      if (credential !== undefined) given.add(credential);
    }
    expect(given.size).to.be.at.least(3);
    for (const credential of [...given].reverse()) {
      await test.beat(node, { credential });
      break;
    }
    expect(await row()).to.include({ status: 'active', generation: 2 });
  });

  it('may be any of those that were handed out; the others end with its first use', async () => {
    const first = await next();
    await age(lifetimeS / 8);
    const { credential: second = '' } = await test.beat(node);
    expect(second)
      .to.match(/^writ_node_/)
      .and.not.equal(first);
    await test.beat(node, { credential: first });
    node.credential = first;
    await age(61);
    await test.beat(node);
    await expectRefused('node_quarantined', { credential: second, bootId: another() });
    await expectQuarantined();
  });

  it('tells of two holders where one that was replaced is used by another boot', async () => {
    const { old } = await renewed();
    await age(16);
    await expectRefused('node_quarantined', { credential: old, bootId: another() });
    await expectQuarantined();
    await expectRefused('node_quarantined');
    await expectRefused('node_quarantined', { credential: old });
    expect(await test.records('node.status'), 'told once').to.have.length(1);
  });

  it('tells of two holders also where the node itself is the one with the old credential', async () => {
    const old = node.credential;
    const stolen = await next();
    await test.beat(node, { credential: stolen, bootId: another() });
    await age(16);
    await expectRefused('node_quarantined', { credential: old });
    await expectQuarantined();
  });

  it('tells of two holders in the end also where the thief says the boot of the node', async () => {
    const old = node.credential;
    const stolen = await next();
    await test.beat(node, { credential: stolen });
    // A late call, as far as can be told; a node that goes on with it is no late call.
    await expectRefused('node_credential_replaced', { credential: old });
    await age(601);
    await expectRefused('node_quarantined', { credential: old });
    await expectQuarantined();
  });

  it('tells of two holders also where the thief has waited until the life of the other is nearly over', async () => {
    const old = node.credential;
    const stolen = await next();
    await age(lifetimeS / 2 - 61);
    await test.beat(node, { credential: stolen });
    await expectRefused('node_credential_replaced', { credential: old });
    await age(601);
    await expectRefused('node_quarantined', { credential: old });
    await expectQuarantined();
  });

  it('that was replaced long ago is taken for a backup that was brought back: the node has to join again', async () => {
    const { old } = await renewed();
    await age(lifetimeS);
    await run("update node_credentials set expires_at = now() - interval '2 days' where generation = 1");
    await expectRefused('node_credential_expired', { credential: old, bootId: another() });
    expect(await row()).to.include({ status: 'active' });
  });

  it('tells of two holders generations later', async () => {
    const { old } = await renewed();
    await renewed();
    await run("update node_credentials set expires_at = now() + interval '1 hour'");
    await expectRefused('node_quarantined', { credential: old, bootId: another() });
    await expectQuarantined();
  });

  it('that was replaced may come late from the same boot: it is refused, and nothing else', async () => {
    const { old } = await renewed();
    for (const seconds of [0, 16, 100]) {
      await age(seconds);
      await expectRefused('node_credential_replaced', { credential: old });
    }
    expect(await row()).to.include({ status: 'active' });
    await test.beat(node);
    expect(await test.records('node.status')).to.deep.equal([]);
  });

  it('that was replaced right before may come a little late from a boot that was killed', async () => {
    const { old } = await renewed();
    await test.beat(node, { bootId: another() });
    await age(10);
    await expectRefused('node_credential_replaced', { credential: old });
    expect(await row()).to.include({ status: 'active' });
    await age(6);
    await expectRefused('node_quarantined', { credential: old });
    await expectQuarantined();
  });

  it('ends with its life; the node has to join again, and is not taken for a copy', async () => {
    await age(lifetimeS + 1);
    await expectRefused('node_credential_expired');
    expect(await row()).to.include({ status: 'active' });
  });

  it('of the next generation has a life of its own, which begins when it is handed out', async () => {
    const credential = await next();
    await age(lifetimeS / 2);
    await expectRefused('node_credential_expired');
    await test.beat(node, { credential });
    expect(await row()).to.include({ status: 'active', generation: 2 });
  });

  it('of the next generation ends with its life, used or not', async () => {
    const credential = await next();
    await age(lifetimeS + 1);
    await expectRefused('node_credential_expired', { credential });
    expect((await row()).generation).to.equal(1);
  });

  it('is refused where nobody handed it out, and the node goes on', async () => {
    for (const credential of [
      generateApiKey('node'),
      generateApiKey('svc'),
      generateApiKey('join'),
      node.credential.slice(0, -1),
      `${node.credential} `,
      node.credential.toLowerCase(),
      '',
    ]) {
      await expectRefused('unauthenticated', { credential, bootId: another() });
    }
    await test.beat(node);
    expect(await row()).to.include({ status: 'active' });
  });

  it('is no good to another node, the next one neither', async () => {
    const other = await test.join();
    const credential = await next();
    for (const stolen of [node.credential, credential]) {
      expect((await failureOf(test.beat(other, { credential: stolen }))).reason).to.equal('unauthenticated');
    }
    for (const nodeId of [newId(), node.nodeId.toUpperCase(), 'no id', '']) {
      expect((await failureOf(test.beat({ ...node, nodeId }))).reason).to.equal('unauthenticated');
    }
    expect(await row()).to.include({ status: 'active', generation: 1 });
  });

  it('is refused for a node that is gone', async () => {
    await run(`update nodes set status = 'gone'`);
    await expectRefused('node_gone');
    await expectRefused('unauthenticated', { credential: generateApiKey('node') });
  });

  it('lies nowhere in the database, the next one neither', async () => {
    const credential = await next();
    const { rows } = await test.log.owner.query<{ sha256: Buffer }>('select * from node_credentials');
    for (const secret of [node.credential, credential]) {
      expect(rows.some((found) => found.sha256.equals(sha256(secret)))).to.equal(true);
      expect(JSON.stringify(rows)).to.not.include(secret);
      const { rows: nodes } = await test.log.owner.query('select * from nodes');
      expect(JSON.stringify(nodes)).to.not.include(secret);
    }
  });

  it('is taken on once where the next is used by 15 calls at once', async () => {
    const credential = await next();
    const answers = await Promise.all(Array.from({ length: 15 }, () => test.beat(node, { credential })));
    expect(answers).to.have.length(15);
    expect(await row()).to.include({ status: 'active', generation: 2 });
    expect(await test.records('node.status')).to.deep.equal([]);
  });

  it('quarantines the node once where a copy uses the old one in 15 calls at once', async () => {
    const { old } = await renewed();
    await age(16);
    const copy = { credential: old, bootId: another() };
    const failures = await Promise.all(Array.from({ length: 15 }, () => failureOf(test.beat(node, copy))));
    expect(new Set(failures.map(({ reason }) => reason))).to.deep.equal(new Set(['node_quarantined']));
    await expectQuarantined();
  });

  it('shows a thief, however often the thief asks for the next one before the node uses its own', async () => {
    const own = await next();
    const thief = { bootId: another() };
    for (let i = 0; i < 40; i++) {
      await test.beat(node, thief);
      await age(1);
    }
    await age(lifetimeS / 8);
    const { credential: stolen } = await test.beat(node, thief);
    await test.beat(node, { ...thief, credential: stolen ?? '' });
    await expectRefused('node_quarantined', { credential: own });
    await expectQuarantined();
  });

  it('is kept with few others: a database does not fill with what nobody uses', async () => {
    await next();
    for (let i = 0; i < 60; i++) {
      await age(2);
      await test.beat(node);
    }
    const { rows } = await test.log.owner.query<{ n: number }>('select count(*) as n from node_credentials');
    expect(rows[0]?.n).to.be.below(10);
  });
});
