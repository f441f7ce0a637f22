import { expect } from 'chai';
import { afterEach, before, beforeEach, describe, it } from 'mocha';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId, type BootId } from '../../src/domain/ids.ts';
import { InProcessBrokerServer } from '../../src/platform/broker/in-process/in-process.ts';
import { openLocalSigner } from '../../src/platform/keys/local-signer.ts';
import { loadCatalog, type Catalog } from '../../src/tools/catalog.ts';
import { ExecutionWorker, type FinishedOrder } from '../../src/worker/execution-worker.ts';
import type { AcceptedOrder } from '../../src/worker/intake.ts';
import { Journal } from '../../src/worker/journal.ts';
import { Receipts } from '../../src/worker/receipts.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { shippedTools } from '../tools/fixtures.ts';

const startS = 2_000_000_000;

describe('the slots of a node', function () {
  this.timeout(20_000);
  let catalog: Catalog;
  let folder: string;
  let marker: string;
  let journal: Journal;
  let nowMs: number;
  let finished: FinishedOrder[];
  let failures: unknown[];
  let worker: ExecutionWorker;

  before(async () => {
    catalog = await loadCatalog([shippedTools]);
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'writ-slots-'));
    marker = join(folder, 'writ-marker-lines');
    journal = await Journal.open(folder);
    nowMs = startS * 1000;
    finished = [];
    failures = [];
    worker = new ExecutionWorker({
      slots: 2,
      journal,
      clock: { now: () => nowMs, monotonicMs: () => performance.now() },
      workDir: folder,
      onFinished: (order) => finished.push(order),
      onFailure: (error) => failures.push(error),
    });
  });

  afterEach(async () => {
    await worker.stop(0);
    await journal.close().catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  });

  function order(action: 'run' | 'append', payload: object, over: Partial<AcceptedOrder> = {}): AcceptedOrder {
    const found = catalog.find('noop', action);
    if (found === undefined) throw new Error('no such action');
    return {
      task_id: randomUUID(),
      attempt: 1,
      jti: randomUUID(),
      exp: startS + 60,
      grant: {
        tool: 'noop',
        tool_digest: found.digest,
        action,
        effects: found.effects,
        timeout_s: 10,
        scope: null,
        requested_by: 'alice',
        required_role: 'operator',
        approvals: [],
      },
      action: found,
      payload: Buffer.from(JSON.stringify(payload)),
      scope: undefined,
      allowPrivate: false,
      traceparent: undefined,
      ...over,
    };
  }

  function sleeper(sleepMs: number): AcceptedOrder {
    return order('run', { sleep_ms: sleepMs });
  }

  async function answers(count: number): Promise<[status: string, code: string | undefined][]> {
    await eventually(() => (finished.length >= count ? true : undefined));
    expect(finished).to.have.length(count);
    return finished.map(({ result }) => [result.status, result.error?.code]);
  }

  it('hold so many orders at once, and take the others in the order they came', async () => {
    const orders = [sleeper(60), sleeper(40), sleeper(1), sleeper(1)];
    worker.add(orders);
    expect(worker.busy).to.equal(2);
    await answers(4);
    expect(worker.busy).to.equal(0);
    expect(
      finished.map(({ result }) => orders.findIndex(({ task_id }) => task_id === result.task_id)).slice(0, 3),
    ).to.deep.equal([1, 2, 3]);
  });

  it('note the start of what goes on, and not of what ends at once', async () => {
    const orders = [sleeper(0), sleeper(10_000), sleeper(0)];
    await journal.take([{ payload: { jti: 'one', exp: startS + 60 }, body: Buffer.from('one'), orders }]);
    worker.add(orders);
    await answers(2);
    await eventually(() => (journal.orders[1]?.state === 'started' ? true : undefined));
    expect(journal.orders.map(({ state }) => state)).to.deep.equal(['received', 'started', 'received']);
  });

  async function receiptsOf(onSigned: () => void = () => undefined): Promise<Receipts> {
    return new Receipts({
      ...{ nodeId: randomUUID(), bootId: newId<BootId>(), broker: new InProcessBrokerServer().connect(), journal },
      signer: await openLocalSigner({ path: join(folder, 'key.pem'), algorithm: 'ES256', create: true }),
      clock: { now: () => nowMs, monotonicMs: () => performance.now() },
      onSigned,
      onFailure: (error) => failures.push(error),
    });
  }

  it('answer what ends in one turn of the event loop in one receipt, however few slots it went through', async () => {
    const receipts = await receiptsOf();
    const through = new ExecutionWorker({
      ...{ slots: 2, journal, workDir: folder, clock: { now: () => nowMs, monotonicMs: () => performance.now() } },
      onFinished: (order) => {
        receipts.add(order);
      },
      onFailure: (error) => failures.push(error),
    });
    through.add(Array.from({ length: 50 }, () => sleeper(0)));
    await eventually(() => (receipts.seq >= 0 ? true : undefined));
    await receipts.drain();
    expect(failures).to.deep.equal([]);
    expect(journal.spool.map(({ attempts }) => attempts.length)).to.deep.equal([50]);
  });

  it('answer what ends just when the receipt before it is done', async () => {
    worker.add(Array.from({ length: 12 }, () => sleeper(0)));
    await answers(12);
    for (let steps = 0; steps < 6; steps++) {
      const [first, second] = finished.splice(0, 2);
      let isFirst = true;
      const receipts = await receiptsOf(() => {
        if (!isFirst || second === undefined) return;
        isFirst = false;
        let later = Promise.resolve();
        for (let step = 0; step < steps; step++) later = later.then(() => undefined);
        void later.then(() => {
          receipts.add(second);
        });
      });
      if (first !== undefined) receipts.add(first);
      await eventually(() => (receipts.seq >= 0 ? true : undefined));
      await receipts.drain();
      expect(receipts.seq, `${steps.toString()} steps later`).to.equal(1);
    }
    expect(failures).to.deep.equal([]);
  });

  it('do not start an order that has expired while it waited', async () => {
    const line = order('append', { file: marker, line: 'x' }, { exp: startS + 60 });
    worker.add([sleeper(20), sleeper(20), line]);
    nowMs += 90_000;
    const ended = await answers(3);
    expect(ended).to.deep.include(['refused', 'expired']);
    expect(await readFile(marker, 'utf8').catch(() => 'none')).to.equal('none');
  });

  it('start an order until the clocks of node and orchestrator may differ no more', async () => {
    worker.add([sleeper(20), sleeper(20), order('append', { file: marker, line: 'x' })]);
    nowMs += 89_000;
    await answers(3);
    expect(await readFile(marker, 'utf8')).to.equal('x\n');
  });

  it('stop an order that waits at once, and one that runs', async () => {
    const orders = [sleeper(10_000), sleeper(20), order('append', { file: marker, line: 'x' })];
    worker.add(orders);
    for (const { task_id } of [orders[2], orders[0]].filter((held) => held !== undefined)) worker.cancel(task_id, 1);
    expect((await answers(3)).map(([status]) => status).sort()).to.deep.equal(['cancelled', 'cancelled', 'succeeded']);
    expect(await readFile(marker, 'utf8').catch(() => 'none')).to.equal('none');
  });

  for (const [what, stop, answer] of [
    ['cancelled', (taskId: string) => worker.cancel(taskId, 1), ['cancelled', 'cancelled']],
    ['stopped with the node', () => void worker.stop(0), ['not_started', 'node_stopping']],
  ] as const) {
    it(`do not begin destructive work that is ${what} while its note is synced`, async () => {
      let sync: (() => void) | undefined;
      const slow = Object.create(journal) as Journal;
      slow.start = () => new Promise((resolve) => (sync = resolve));
      worker = new ExecutionWorker({
        ...{ slots: 1, journal: slow, workDir: folder },
        clock: { now: () => nowMs, monotonicMs: () => performance.now() },
        onFinished: (order) => finished.push(order),
        onFailure: (error) => failures.push(error),
      });
      const line = order('append', { file: marker, line: 'x' });
      worker.add([line]);
      await eventually(() => sync);
      stop(line.task_id);
      // The grace of the stop is over.
      await new Promise((resolve) => setTimeout(resolve, 10));
      sync?.();
      expect(await answers(1)).to.deep.equal([answer]);
      expect(await readFile(marker, 'utf8').catch(() => 'none')).to.equal('none');
    });
  }

  it('do not stop another attempt than was asked for', async () => {
    const running = sleeper(30);
    worker.add([running]);
    worker.cancel(running.task_id, 2);
    expect(await answers(1)).to.deep.equal([['succeeded', undefined]]);
  });

  it('hand back what waits when the node stops, and answer what ran as interrupted', async () => {
    worker.add([sleeper(10_000), sleeper(5), sleeper(10)]);
    await worker.stop(100);
    const ended = await answers(3);
    expect(ended.map(([status]) => status)).to.deep.equal(['not_started', 'succeeded', 'interrupted']);
    worker.add([sleeper(1)]);
    expect(worker.busy).to.equal(0);
  });

  it('start nothing destructive of which the journal does not know', async () => {
    await journal.close();
    worker.add([order('append', { file: marker, line: 'x' })]);
    expect(await answers(1)).to.deep.equal([['not_started', 'journal_failed']]);
    expect(failures).not.to.have.length(0);
    expect(await readFile(marker, 'utf8').catch(() => 'none')).to.equal('none');
  });
});
