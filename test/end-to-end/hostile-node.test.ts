import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { readManifests } from '../../src/collect/collect-sql.ts';
import { manifestToMessage } from '../../src/dispatch/dispatcher.ts';
import type { OutgoingMessage } from '../../src/domain/broker.ts';
import { decodeFrame, encodeFrame } from '../../src/domain/frame.ts';
import { newId, type BootId, type Jti } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/domain/principal.ts';
import { frameContentType, nodeQueue, receiptMessage, receiptsQueue, refusalMessage } from '../../src/domain/queues.ts';
import type { Signer } from '../../src/domain/signer.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { createPool } from '../../src/platform/postgres/pool.ts';
import type { CanonicalValue } from '../../src/proof/canonical-json.ts';
import { sha256Hex } from '../../src/proof/hash.ts';
import { CompactJwsGenerator } from '../../src/proof/jws.ts';
import type { ManifestPayload } from '../../src/proof/manifest.ts';
import type { AuditRecord } from '../../src/proof/record.ts';
import type { ReceiptPayload, Result } from '../../src/proof/receipt.ts';
import type { WorkerNode } from '../../src/worker/worker-node.ts';
import { eventually } from './eventually.ts';
import { startRig, type Rig } from './rig.ts';

const noop = (payload: Record<string, unknown> = {}): object => ({
  ...{ tool: 'noop', action: 'run', payload },
  retry: { max_attempts: 1 },
});

describe('whoever writes to the queues without the right to', function () {
  this.timeout(60_000);
  let rig: Rig;
  let operator: Principal;
  let alpha: WorkerNode;

  beforeEach(async () => {
    rig = await startRig({ flags: { node_lease_s: 1 } });
    operator = await rig.principal('integration', ['operator']);
    alpha = await rig.addNode('alpha');
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  /** Submits, and keeps the manifest from its node: what the node would have got is in the attacker's hands. */
  async function intercept(items: readonly object[]): Promise<{ message: OutgoingMessage; taskIds: string[] }> {
    const swallowed = rig.swallow(alpha);
    const tasks = await rig.submit(operator, items);
    await eventually(() => (swallowed.count > 0 ? true : undefined));
    swallowed.restore();
    return { message: await onlyManifest(), taskIds: tasks.map(({ task_id }) => task_id) };
  }

  async function onlyManifest(): Promise<OutgoingMessage> {
    const { rows } = await rig.database.query<{ jti: string }>('select jti from manifests');
    const manifests = await readManifests(
      rig.database,
      rows.map(({ jti }) => jti),
    );
    const [manifest] = manifests;
    if (manifest === undefined || manifests.length > 1) throw new Error(`${manifests.length.toString()} manifests`);
    return manifestToMessage(manifest, manifest.payloads, Date.now());
  }

  async function records(type: string): Promise<AuditRecord[]> {
    const { rows } = await rig.database.query<{ line: Buffer }>({
      text: 'select line from audit_log where type = $1 order by seq',
      values: [type],
    });
    return rows.map(({ line }) => JSON.parse(line.toString('utf8')) as AuditRecord);
  }

  /** Waits for the one record of this type. */
  function onlyRecord(type: string): Promise<AuditRecord> {
    return eventually(async () => {
      const found = await records(type);
      if (found.length > 1) throw new Error(`${found.length.toString()} records of ${type}`);
      return found[0];
    });
  }

  /** How each attempt has ended so far. */
  async function results(): Promise<Record<string, unknown>[]> {
    const { rows } = await rig.database.query(
      'select task_id, attempt, state, status, reason, node_id from results order by task_id, attempt',
    );
    return rows;
  }

  function until(taskId: string, ...states: string[]): Promise<true> {
    return eventually(async () => {
      const { rows } = await rig.database.query({
        text: `select from queue where task_id = $1 and state = any ($2)
               union all select from results where task_id = $1 and state = any ($2)`,
        values: [taskId, states],
      });
      return rows.length > 0 ? true : undefined;
    });
  }

  async function publish(...messages: OutgoingMessage[]): Promise<void> {
    const outcomes = await (await rig.connect()).publish(messages);
    expect(outcomes.every(({ outcome }) => outcome === 'confirmed')).to.equal(true);
  }

  function keyOf(name: string): Promise<Signer> {
    return openLocalSigner({ path: join(rig.folder, name, 'node.key'), algorithm: 'EdDSA', create: false });
  }

  function strangersKey(algorithm: 'EdDSA' | 'ES256' = 'EdDSA'): Promise<Signer> {
    return openLocalSigner({ path: join(rig.folder, `${randomUUID()}.key`), algorithm, create: true });
  }

  it('has one run of a manifest that is sent a hundred times at once', async () => {
    const { message, taskIds } = await intercept([noop()]);
    await publish(...Array.from({ length: 100 }, () => message));
    await rig.settled();
    const refusals = await eventually(async () => {
      await rig.orchestrator.aaa.flush({ now: true });
      rig.orchestrator.engine.changed();
      const found = await records('manifest.refuse');
      return sum(found) >= 99 ? found : undefined;
    });
    expect(sum(refusals)).to.equal(99);
    expect(refusals.length).to.be.at.most(99);
    for (const refusal of refusals) {
      expect(refusal).to.deep.include({
        outcome: 'deny',
        reason: 'replayed',
        actor: { id: alpha.nodeId, kind: 'node' },
      });
      expect(refusal.data?.manifest_sha256).to.equal(sha256Hex(message.body));
    }
    expect(await results()).to.deep.equal([
      { task_id: taskIds[0], attempt: 1, state: 'succeeded', status: 'succeeded', reason: null, node_id: alpha.nodeId },
    ]);
    expect(await records('receipt.accept')).to.have.length(1);
  });

  it('counts a flood of replays: twenty records, and one that stands for the rest', async () => {
    await rig.submit(operator, [noop()]);
    await rig.settled();
    const message = await onlyManifest();
    await rig.orchestrator.aaa.flush({ now: true });
    await publish(...Array.from({ length: 50 }, () => message));
    await eventually(() =>
      rig.log.filter(({ event }) => event === 'manifest.refused').length === 50 ? true : undefined,
    );
    await eventually(async () => ((await rig.broker.depth(receiptsQueue)) === 0 ? true : undefined));
    const refusals = await eventually(async () => {
      await rig.orchestrator.aaa.flush({ now: true });
      rig.orchestrator.engine.changed();
      const found = await records('manifest.refuse');
      return sum(found) >= 50 ? found : undefined;
    });
    expect(refusals.slice(0, 20).map(({ data }) => data?.stands_for)).to.deep.equal(Array(20).fill(undefined));
    expect(sum(refusals)).to.equal(50);
    expect(refusals.slice(20).every(({ data }) => Number(data?.stands_for) > 0)).to.equal(true);
  });

  it('does not get a manifest run by another node than it names', async () => {
    const { message } = await intercept([noop()]);
    const beta = await rig.addNode('beta');
    await publish({ ...message, routingKey: nodeQueue(beta.nodeId) });
    const refusal = await onlyRecord('manifest.refuse');
    expect(refusal).to.deep.include({ reason: 'bad_audience', actor: { id: beta.nodeId, kind: 'node' } });
    expect(await results()).to.deep.equal([]);
    await publish(message);
    await rig.settled();
    expect((await results()).map(({ node_id, status }) => [node_id, status])).to.deep.equal([
      [alpha.nodeId, 'succeeded'],
    ]);
  });

  it('does not get another payload run than was signed; the other orders of the manifest run', async () => {
    const { message } = await intercept([noop({ output: 'a' }), noop({ output: 'b' }), noop({ output: 'c' })]);
    const { jws, blobs } = decodeFrame(message.body);
    expect(blobs).to.have.length(3);
    const swapped = [blobs[0] ?? null, Buffer.from('{"output":"evil"}'), blobs[2] ?? null];
    await publish({ ...message, body: encodeFrame(jws, swapped) });
    await rig.settled();
    const { rows } = await rig.database.query<{ status: string; reason: string | null; output: Buffer | null }>(
      'select status, reason, output from results order by status, output',
    );
    expect(rows.map(({ status, reason }) => [status, reason])).to.deep.equal([
      ['refused', 'payload_swapped'],
      ['succeeded', null],
      ['succeeded', null],
    ]);
    expect(rows.some(({ output }) => output?.includes('evil') === true)).to.equal(false);
    const order = payloadOf<ManifestPayload>(jws).orders[1];
    const told = (await records('receipt.accept')).flatMap(({ data }) => data?.results as [string, number, string][]);
    expect(told).to.deep.include([order?.task_id, 1, 'refused']);
  });

  it('does not get a manifest run that is signed with a key that is not trusted', async () => {
    const { message } = await intercept([noop()]);
    const { jws, blobs } = decodeFrame(message.body);
    const generator = new CompactJwsGenerator(await strangersKey('ES256'), 'writ-manifest+jws');
    const [forged = Buffer.alloc(0)] = await generator.generate([payloadOf<CanonicalValue>(jws)]);
    await publish({ ...message, body: encodeFrame(forged, blobs) });
    expect((await onlyRecord('manifest.refuse')).reason).to.equal('unknown_key');
    expect(await results()).to.deep.equal([]);
    await publish(message);
    await rig.settled();
  });

  it('does not get garbage taken for a manifest', async () => {
    const { message } = await intercept([noop()]);
    await publish({ ...message, body: Buffer.from('garbage') });
    expect((await onlyRecord('manifest.refuse')).reason).to.equal('bad_frame');
    await publish(message);
    await rig.settled();
  });

  it('cannot answer for another node: with a key of its own, nor in the name of the other', async () => {
    const [task] = await rig.submit(operator, [noop({ sleep_ms: 2500 })]);
    const taskId = task?.task_id ?? '';
    await until(taskId, 'dispatched', 'running');
    const mallory = await rig.addNode('mallory');
    const generator = new CompactJwsGenerator(await keyOf('mallory'), 'writ-receipt+jws');
    await publish(await receiptOf(generator, mallory.nodeId, taskId));
    expect(await onlyRecord('receipt.late')).to.deep.include({
      reason: 'superseded',
      outcome: 'deny',
      actor: { id: mallory.nodeId, kind: 'node' },
    });
    await publish(await receiptOf(generator, alpha.nodeId, taskId));
    expect((await onlyRecord('receipt.refuse')).reason).to.equal('bad_issuer');
    expect(await results()).to.deep.equal([]);
    await rig.settled();
    expect((await results()).map(({ node_id, status }) => [node_id, status])).to.deep.equal([
      [alpha.nodeId, 'succeeded'],
    ]);
  });

  it('cannot forge a receipt or a refusal', async () => {
    const [task] = await rig.submit(operator, [noop({ sleep_ms: 2500 })]);
    const taskId = task?.task_id ?? '';
    await until(taskId, 'dispatched', 'running');
    const key = await strangersKey();
    await publish(await receiptOf(new CompactJwsGenerator(key, 'writ-receipt+jws'), alpha.nodeId, taskId));
    expect((await onlyRecord('receipt.refuse')).reason).to.equal('unknown_key');
    const refusals = new CompactJwsGenerator(key, 'writ-refusal+jws');
    const refusal = { iss: alpha.nodeId, iat: nowS(), manifest_sha256: sha256Hex('x'), reason: 'replayed' };
    const [jws = Buffer.alloc(0)] = await refusals.generate([refusal]);
    await publish({ ...toReceipts(jws), type: refusalMessage });
    await eventually(async () => ((await records('receipt.refuse')).length === 2 ? true : undefined));
    expect(await records('manifest.refuse')).to.deep.equal([]);
    expect(await results()).to.deep.equal([]);
    await rig.settled();
  });

  it('cannot alter the output of a receipt', async () => {
    rig.cutOff(alpha);
    const mallory = await rig.addNode('mallory');
    const output = Buffer.from('good');
    const generator = new CompactJwsGenerator(await keyOf('mallory'), 'writ-receipt+jws');
    const message = await receiptOf(generator, mallory.nodeId, randomUUID(), {
      output_sha256: sha256Hex(output),
      output_bytes: 4,
    });
    const { jws } = decodeFrame(message.body);
    await publish({ ...message, body: encodeFrame(jws, [Buffer.from('evil'), null]) });
    expect((await onlyRecord('receipt.refuse')).reason).to.equal('bad_output');
    expect(await results()).to.deep.equal([]);
  });

  it('cannot answer an order that was never given', async () => {
    const mallory = await rig.addNode('mallory');
    const generator = new CompactJwsGenerator(await keyOf('mallory'), 'writ-receipt+jws');
    const taskId = randomUUID();
    await publish(await receiptOf(generator, mallory.nodeId, taskId));
    const late = await onlyRecord('receipt.late');
    expect(late.data?.results).to.deep.equal([[taskId, 1, 'succeeded']]);
    expect(await results()).to.deep.equal([]);
    expect(await records('receipt.accept')).to.deep.equal([]);
  });

  it('has no second effect by a receipt that is sent again', async () => {
    const [task] = await rig.submit(operator, [noop({ output: 'once' })]);
    await rig.settled();
    const before = await results();
    const { rows } = await rig.database.query<{ jws: Buffer; output: Buffer | null; metadata: Buffer | null }>({
      text: `select c.jws, r.output, r.metadata from receipts c join results r on r.receipt = c.jti where r.task_id = $1`,
      values: [task?.task_id],
    });
    const [receipt] = rows;
    if (receipt === undefined) throw new Error('no receipt');
    const body = encodeFrame(receipt.jws, [receipt.output, receipt.metadata]);
    await publish(...Array.from({ length: 50 }, () => toReceipts(body)));
    // One that can be told apart comes after them.
    await publish(toReceipts(Buffer.from('garbage')));
    expect((await onlyRecord('receipt.refuse')).reason).to.equal('bad_frame');
    expect(await results()).to.deep.equal(before);
    expect(await records('receipt.accept')).to.have.length(1);
    expect(await records('receipt.late')).to.deep.equal([]);
  });

  it('changes nothing by a receipt that comes when another node has the work', async () => {
    const [task] = await rig.submit(operator, [
      { tool: 'noop', action: 'run', payload: { sleep_ms: 2500 }, retry: { max_attempts: 3 } },
    ]);
    const taskId = task?.task_id ?? '';
    await until(taskId, 'running');
    const reconnect = rig.cutOff(alpha);
    const beta = await rig.addNode('beta');
    const owner = createPool({ url: rig.url, max: 1 });
    await eventually(async () => {
      await owner.query({
        text: `update manifests set expires_at = now() - interval '2 minutes', issued_at = now() - interval '3 minutes' where node_id = $1`,
        values: [alpha.nodeId],
      });
      await owner.query({
        text: `update nodes set lease_until = now() - interval '1 minute' where node_id = $1`,
        values: [alpha.nodeId],
      });
      return (await results()).some(({ status }) => status === 'lost') ? true : undefined;
    });
    await owner.close();
    await until(taskId, 'succeeded');
    const before = await results();
    reconnect();
    const late = await onlyRecord('receipt.late');
    expect(late).to.deep.include({ reason: 'superseded', actor: { id: alpha.nodeId, kind: 'node' } });
    expect(late.data?.results).to.deep.equal([[taskId, 1, 'succeeded']]);
    expect(await results()).to.deep.equal(before);
    expect(before.map(({ node_id, status }) => [node_id, status])).to.deep.equal([
      [alpha.nodeId, 'lost'],
      [beta.nodeId, 'succeeded'],
    ]);
  });
});

/** How many refusals the records tell of. */
function sum(records: readonly AuditRecord[]): number {
  return records.reduce((total, { data }) => total + (typeof data?.stands_for === 'number' ? data.stands_for : 1), 0);
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

function payloadOf<T>(jws: Buffer): T {
  return JSON.parse(Buffer.from(jws.toString('latin1').split('.')[1] ?? '', 'base64url').toString('utf8')) as T;
}

function toReceipts(body: Buffer): OutgoingMessage {
  return {
    ...{ exchange: '', routingKey: receiptsQueue, body, messageId: newId<Jti>() },
    ...{ type: receiptMessage, contentType: frameContentType },
  };
}

/** A receipt of one success, the first of a boot, by whoever has the key. */
async function receiptOf(
  generator: CompactJwsGenerator,
  nodeId: string,
  taskId: string,
  output: Pick<Result, 'output_sha256' | 'output_bytes'> = { output_sha256: null, output_bytes: null },
): Promise<OutgoingMessage> {
  const at = new Date().toISOString();
  const payload: ReceiptPayload = {
    ...{ iss: nodeId, jti: newId<Jti>(), iat: nowS(), boot_id: newId<BootId>(), seq: 0 },
    results: [
      {
        ...{ task_id: taskId, attempt: 1, status: 'succeeded', started_at: at, ended_at: at },
        ...{ ...output, error: null, metadata_sha256: null },
      },
    ],
  };
  const [jws = Buffer.alloc(0)] = await generator.generate([payload as unknown as CanonicalValue]);
  return toReceipts(encodeFrame(jws, [null, null]));
}
