/** What a node finds again after a restart, a rewrite, a crash, damage. */

import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { FatalError } from '../../src/domain/error.ts';
import { Journal, type SpooledReceipt, type TakenManifest } from '../../src/worker/journal.ts';
import { makeScratchFolder } from '../support/scratch.ts';

const exp = 4_000_000_000;
const rewriteBytes = 64 * 1024 * 1024;

function uuid(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

function manifest(
  number: number,
  orders: [task: number, attempt: number][],
  body = `manifest ${number}`,
): TakenManifest {
  return {
    payload: { jti: uuid(0x1000 + number), exp },
    body: Buffer.from(body),
    orders: orders.map(([task, attempt]) => ({ task_id: uuid(task), attempt })),
  };
}

function receipt(
  boot: number,
  seq: number,
  attempts: [task: number, attempt: number][],
  body?: Buffer,
): SpooledReceipt {
  return {
    boot_id: uuid(0x2000 + boot),
    seq,
    jti: uuid(0x3000 + boot * 256 + seq),
    body: body ?? Buffer.from(`receipt ${boot} ${seq}`),
    attempts: attempts.map(([task, attempt]) => ({ task_id: uuid(task), attempt })),
  };
}

/** Everything that a journal tells, for tasks and manifests of small numbers. */
function tell(journal: Journal) {
  const inHand = journal.orders.filter(({ state }) => state !== 'finished');
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  return {
    orders: inHand.map((order) => ({ ...order })).sort((a, b) => (a.task_id < b.task_id ? -1 : 1)),
    bodies: inHand.map(({ jti }) => [jti, journal.manifestBody(jti)?.toString()]).sort(),
    spool: journal.spool.map(({ body, ...rest }) => ({ ...rest, body: body.toString() })),
    lastBoot: journal.lastBoot,
    jtis: numbers.filter((n) => journal.isSeenJti(uuid(0x1000 + n))),
    attempts: numbers.map((n) => journal.highestAttempt(uuid(n))),
  };
}

/** Makes the file so long that it is written anew, by a receipt that has arrived: nothing of it is to stay. */
async function fill(journal: Journal, boot: number): Promise<void> {
  const half = Buffer.alloc(rewriteBytes / 2 + 1);
  await journal.finish(receipt(boot, 0, [], half));
  await journal.acknowledge(uuid(0x2000 + boot), 0);
  await journal.finish(receipt(boot, 1, [], half));
  await journal.acknowledge(uuid(0x2000 + boot), 1);
}

describe('the journal of a node', () => {
  let folder: string;
  let path: string;
  let opened: Journal[];
  beforeEach(async () => {
    folder = await makeScratchFolder('writ-journal-');
    path = join(folder, 'journal');
    opened = [];
  });
  afterEach(async () => {
    for (const journal of opened) await journal.close().catch(() => undefined);
    await rm(folder, { recursive: true });
  });

  async function open(): Promise<Journal> {
    const journal = await Journal.open(folder);
    opened.push(journal);
    return journal;
  }

  it('is empty at first, and readable by nobody else', async () => {
    expect(tell(await open())).to.deep.include({ orders: [], spool: [], lastBoot: undefined, jtis: [] });
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
  });

  it('knows again what it took, began and finished', async () => {
    const journal = await open();
    await journal.take([
      manifest(1, [
        [1, 1],
        [2, 3],
        [3, 1],
      ]),
      manifest(2, []),
    ]);
    await journal.start([uuid(1), uuid(2)], true);
    await journal.finish(receipt(1, 0, [[1, 1]]));
    const before = tell(journal);
    expect(before.orders.map(({ state }) => state)).to.deep.equal(['started', 'received']);
    expect(before.jtis).to.deep.equal([1, 2]);
    expect(before.attempts.slice(0, 4)).to.deep.equal([0, 1, 3, 1]);
    expect(before.lastBoot).to.deep.equal({ boot_id: uuid(0x2001), seq: 0 });
    expect(tell(await open())).to.deep.equal(before);
  });

  it('writes what has come meanwhile at once, however many entries that are', async () => {
    const journal = await open();
    // More pieces than the system takes in one call, which is 1,024 on Linux.
    await Promise.all(Array.from({ length: 2000 }, (_, n) => journal.take([manifest(n, [[n, 1]])])));
    const before = tell(journal);
    await journal.close();
    const again = await open();
    expect(again.orderCount).to.equal(2000);
    expect(tell(again)).to.deep.equal(before);
  });

  it('lets receipts go that have arrived, of their boot and up to their number', async () => {
    const journal = await open();
    await journal.take([
      manifest(1, [
        [1, 1],
        [2, 1],
        [3, 1],
      ]),
    ]);
    await journal.finish(receipt(1, 0, [[1, 1]]));
    await journal.finish(receipt(1, 1, [[2, 1]]));
    await journal.finish(receipt(1, 2, [[3, 1]]));
    await journal.acknowledge(uuid(0x2009), 9);
    expect(journal.spool).to.have.length(3);
    await journal.acknowledge(uuid(0x2001), 1);
    expect(journal.spool.map(({ seq }) => seq)).to.deep.equal([2]);
    expect(journal.orders.map(({ task_id }) => task_id)).to.deep.equal([uuid(3)]);
    const again = await open();
    expect(again.spool.map(({ seq }) => seq)).to.deep.equal([2]);
    expect(again.lastBoot?.seq).to.equal(2);
    expect(again.highestAttempt(uuid(1))).to.equal(1);
  });

  it('forgets no later attempt for the receipt of an earlier one', async () => {
    const journal = await open();
    await journal.take([manifest(1, [[1, 1]])]);
    await journal.take([manifest(2, [[1, 2]])]);
    await journal.finish(receipt(1, 0, [[1, 1]]));
    await journal.acknowledge(uuid(0x2001), 0);
    expect(journal.orders.map(({ attempt, state }) => [attempt, state])).to.deep.equal([[2, 'received']]);
  });

  it('lets manifests go whose time is over', async () => {
    const journal = await open();
    await journal.take([manifest(1, [])]);
    await journal.tidy(exp + 120);
    expect(journal.isSeenJti(uuid(0x1001))).to.equal(true);
    await journal.tidy(exp + 121);
    expect(journal.isSeenJti(uuid(0x1001))).to.equal(false);
  });

  const taskStep = fc.tuple(fc.constantFrom('take', 'start', 'finish', 'acknowledge'), fc.nat(11), fc.nat(3));

  /** Takes, begins, finishes and acknowledges as the numbers say. */
  async function run(journal: Journal, steps: readonly [string, number, number][]): Promise<void> {
    let manifests = 0;
    let boot = 1;
    let seq = -1;
    for (const [step, n, m] of steps) {
      const held = journal.orders.filter(({ state }) => state !== 'finished');
      if (step === 'take') {
        const orders = Array.from({ length: m + 1 }, (_, i): [number, number] => {
          const task = (n + i) % 12;
          return [task, journal.highestAttempt(uuid(task)) + 1];
        });
        await journal.take([manifest(++manifests % 40, orders, `manifest ${manifests}`)]);
      } else if (step === 'start') {
        await journal.start(
          held.slice(0, n).map(({ task_id }) => task_id),
          m === 0,
        );
      } else if (step === 'finish') {
        if (m === 0) [boot, seq] = [boot + 1, -1];
        const attempts = held.slice(n % 4, (n % 4) + m).map(({ task_id, attempt }) => ({ task_id, attempt }));
        await journal.finish({ ...receipt(boot, ++seq, []), attempts });
      } else {
        const oldest = journal.spool[0];
        if (oldest !== undefined) await journal.acknowledge(oldest.boot_id, oldest.seq + m);
      }
    }
  }

  it('is after any sequence of changes what it was before the restart', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(taskStep, { maxLength: 40 }), async (steps) => {
        await rm(path, { force: true });
        const journal = await open();
        await run(journal, steps);
        expect(tell(await open())).to.deep.equal(tell(journal));
      }),
      { numRuns: 40 },
    );
  });

  it('is after a rewrite what it was before, in memory and on disk', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(taskStep, { minLength: 10, maxLength: 40 }), async (steps) => {
        await rm(path, { force: true });
        const journal = await open();
        await fill(journal, 0);
        await run(journal, steps);
        const before = tell(journal);
        await journal.tidy(0);
        expect((await stat(path)).size).to.be.below(100_000);
        expect(tell(journal)).to.deep.equal(before);
        expect(tell(await open())).to.deep.equal(before);
        await journal.take([manifest(39, [[20, 1]])]);
        expect((await open()).highestAttempt(uuid(20))).to.equal(1);
      }),
      { numRuns: 3 },
    );
  });

  it('remembers its last boot over a rewrite that finds the spool empty', async () => {
    const journal = await open();
    await fill(journal, 5);
    await journal.tidy(0);
    expect((await open()).lastBoot).to.deep.equal({ boot_id: uuid(0x2005), seq: 1 });
  });

  it('loses nothing that is written while it is written anew', async () => {
    const journal = await open();
    await fill(journal, 1);
    await journal.take([
      manifest(1, [
        [1, 1],
        [2, 1],
        [3, 1],
      ]),
    ]);
    const rewritten = journal.tidy(0);
    const started = journal.start([uuid(1), uuid(2)], true);
    const finished = journal.finish(receipt(1, 2, [[1, 1]]));
    const taken = journal.take([manifest(2, [[4, 1]])]);
    await Promise.all([rewritten, started, finished, taken]);
    expect(tell(await open())).to.deep.equal(tell(journal));
  });

  it('is cut off before an entry that a crash tore at any byte, and goes on from there', async () => {
    const journal = await open();
    await journal.take([manifest(1, [[1, 1]])]);
    await journal.start([uuid(1)], true);
    const before = tell(journal);
    const { size } = await stat(path);
    await journal.take([manifest(2, [[2, 1]])]);
    const whole = await readFile(path);
    for (let end = size; end < whole.length; end++) {
      await writeFile(path, whole.subarray(0, end));
      const torn = await open();
      expect(tell(torn), `cut at ${end}`).to.deep.equal(before);
      expect((await stat(path)).size, `cut at ${end}`).to.equal(size);
      if (end % 16 !== 0) continue;
      await torn.take([manifest(3, [[3, 1]])]);
      expect((await open()).highestAttempt(uuid(3)), `cut at ${end}`).to.equal(1);
    }
  });

  it('is cut off before a last entry whose bytes never reached the disk', async () => {
    const journal = await open();
    await journal.take([manifest(1, [[1, 1]])]);
    const before = tell(journal);
    const { size } = await stat(path);
    await journal.take([manifest(2, [[2, 1]])]);
    const whole = await readFile(path);
    for (const from of [size, size + 3, size + 8, size + 20]) {
      await writeFile(path, Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from)]));
      expect(tell(await open()), `zeros from ${from - size}`).to.deep.equal(before);
      await writeFile(path, Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from + 4096)]));
      expect(tell(await open()), `zeros from ${from - size} and beyond`).to.deep.equal(before);
    }
  });

  it('refuses to start where an entry in its middle is damaged, and leaves the file as it is', async () => {
    const journal = await open();
    await journal.take([manifest(1, [[1, 1]])]);
    const { size } = await stat(path);
    await journal.take([manifest(2, [[2, 1]])]);
    const whole = await readFile(path);
    for (let at = 4; at < size; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x40;
      await writeFile(path, damaged);
      const failure: unknown = await Journal.open(folder).catch((error: unknown) => error);
      expect(failure, `damage at ${at}`).to.be.instanceOf(FatalError);
      expect((await readFile(path)).equals(damaged), `damage at ${at}`).to.equal(true);
    }
  });

  it('takes no kind of entry for damage that it does not know', async () => {
    const journal = await open();
    await journal.take([manifest(1, [[1, 1]])]);
    const before = tell(journal);
    // Length 1, the CRC-32 of the one byte, and kind 255.
    await appendFile(path, Buffer.from('00000001ff000000ff', 'hex'));
    expect(tell(await open())).to.deep.equal(before);
  });
});
