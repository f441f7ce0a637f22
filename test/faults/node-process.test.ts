/** What happens to a node's process: killed at any moment, out of disk, with a clock that is off. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import type { Submission } from '../../src/client/client.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { checkInvariants } from '../support/invariants.ts';
import { realPartsMissing } from '../support/services.ts';
import { startInstallation, type Installation } from './installation.ts';
import { mixedTask, seededRandom } from './workload.ts';

const kills = 20;
const tasks = 600;
const seed = Number(process.env['WRIT_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const unsettled = `select count(*) as n from queue where state in ('waiting', 'queued', 'dispatched', 'running')`;

describe(`a node as a process of its own (seed ${seed.toString()})`, function () {
  this.timeout(240_000);
  const random = seededRandom(seed);
  let installation: Installation;
  let target: Server;
  let scratch: string;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    installation = await startInstallation();
    scratch = await mkdtemp(join(tmpdir(), 'writ-node-'));
    target = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  });

  after(async function () {
    if (realPartsMissing() !== undefined) return;
    target.close();
    await installation.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  afterEach(async () => {
    const { database } = installation;
    await eventually(async () => {
      const { rows } = await database.query<{ rest: boolean }>(
        `select not exists (select from audit_inbox) and size = (select max(size) from checkpoints) as rest from audit_head`,
      );
      return rows[0]?.rest === true ? true : undefined;
    });
    const { problems } = await checkInvariants(database);
    expect(problems).to.deep.equal([]);
  });

  async function count(query: string): Promise<number> {
    const { rows } = await installation.database.query<{ n: number }>(query);
    return rows[0]?.n ?? -1;
  }

  async function settled(): Promise<void> {
    await eventually(async () => ((await count(unsettled)) === 0 ? true : undefined), 150_000);
  }

  async function linesOf(path: string): Promise<string[]> {
    const text = await readFile(path, 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  it(`killed ${kills.toString()} times at random moments: each task ends once, and what is destructive runs at most once`, async () => {
    const marker = join(scratch, 'writ-marker-lines');
    const { port } = target.address() as AddressInfo;
    const items = Array.from({ length: tasks }, (_, i) => mixedTask(random, i.toString(), marker, port));
    const environment = { TMPDIR: tmpdir() };
    let accepted = 0;
    for (let life = 0; life < kills; life++) {
      const node = await installation.startNode('alpha', { environment });
      const share = items.slice((life * tasks) / kills, ((life + 1) * tasks) / kills);
      const answers = await installation.client.submitBatch(share);
      accepted += answers.filter((answer) => 'task' in answer).length;
      if (random() < 0.8) await node.ready;
      await delay(random() * 1500);
      await node.kill();
    }
    const node = await installation.startNode('alpha', { environment });
    // Before it is ready it has no handler: a signal would end it as it ends any process.
    await node.ready;
    await settled();
    expect(await node.terminate()).to.equal(0);
    expect(accepted).to.equal(tasks);
    const lines = await linesOf(marker);
    expect(new Set(lines).size, 'no destructive line twice').to.equal(lines.length);
    const ends = await count('select count(*) as n from results where state is not null');
    const doubts = await count(`select count(*) as n from queue where state = 'in_doubt'`);
    expect(ends + doubts).to.equal(tasks);
  });

  it('out of disk: it says so and ends, nothing is lost, and it goes on when there is room', async () => {
    const marker = join(scratch, 'writ-marker-full');
    const output = 'x'.repeat(20_000);
    const append = (i: number): Submission => ({
      tool: 'noop',
      action: 'append',
      payload: { file: marker, line: i.toString() },
    });
    const large = (): Submission => ({ tool: 'noop', action: 'run', payload: { output } });
    const environment = { TMPDIR: tmpdir() };
    const node = await installation.startNode('beta', { fileMaxKiB: 256, environment });
    await node.ready;
    for (let i = 0; i < 10; i++)
      await installation.client.submitBatch([...Array.from({ length: 5 }, large), append(i)]);
    expect(await node.ended).to.equal(1);
    expect(node.log)
      .to.include('node.failed')
      .and.match(/EFBIG|ENOSPC/);
    const again = await installation.startNode('beta', { environment });
    await again.ready;
    await settled().catch((cause: unknown) => {
      throw new Error(`not all is settled; the node has logged: ${again.log}`, { cause });
    });
    const lines = await linesOf(marker);
    expect(new Set(lines).size).to.equal(lines.length);
    expect(await again.terminate()).to.equal(0);
  });

  it('with a clock that is five minutes ahead: it says so, and runs nothing by it', async () => {
    const shift = join(scratch, 'shift-clock.mjs');
    await writeFile(shift, 'const now = Date.now; Date.now = () => now() + 300_000;\n');
    const node = await installation.startNode('gamma', { environment: { NODE_OPTIONS: `--import=${shift}` } });
    const nodeId = await node.ready;
    await eventually(() => (node.log.includes('node.clock.off') ? true : undefined));
    expect(node.log).to.match(/"offset_s":-(299|300|301)\b/);
    const told = await eventually(async () => {
      for await (const { id, metrics } of installation.client.nodes()) {
        const offset = id === nodeId ? metrics?.['clock_offset_s'] : undefined;
        if (offset !== undefined && offset < -290) return offset;
      }
      return undefined;
    });
    expect(told).to.be.within(-305, -295);
    const task = await installation.client.submit({ tool: 'noop', action: 'run', payload: {} });
    const refusal = await eventually(async () => {
      const { rows } = await installation.database.query<{ line: Buffer }>(
        `select line from audit_log where type = 'manifest.refuse'`,
      );
      return rows.map(({ line }) => line.toString()).find((line) => line.includes(nodeId));
    });
    expect(refusal).to.include('"reason":"expired"');
    expect((await installation.client.get(task.task_id)).state).to.equal('dispatched');
    await node.terminate();
  });
});
