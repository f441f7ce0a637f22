import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { clusterPath } from '../../src/platform/postgres/embedded/cluster.ts';
import { eventually } from '../end-to-end/eventually.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import {
  call,
  DevProcess,
  killProcess,
  postgresOf,
  runProgram,
  type DevFolder,
  type DevSummary,
} from './dev-process.ts';

const stopMs = 10_000;

describe('the data folder of writ dev', function () {
  this.timeout(90_000);
  let home: string;
  let dataDir: string;
  let started: DevProcess[];

  beforeEach(async () => {
    home = await makeScratchFolder('writ-folder-');
    dataDir = join(home, 'data');
    started = [];
  });

  afterEach(async () => {
    for (const dev of started) await dev.kill();
    await eventually(() => (postgresOf(dataDir).length === 0 ? true : undefined));
    await rm(home, { recursive: true, force: true });
  });

  function start(options: Partial<DevFolder> = {}): DevProcess {
    const dev = DevProcess.start({ dataDir, home, ...options });
    started.push(dev);
    return dev;
  }

  /** How a process ended that could not start, and what it said last. */
  async function failure(dev: DevProcess): Promise<{ code: number | null; message: string }> {
    const { code, stderr } = await dev.ended;
    const { error } = JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '') as { error: { message: string } };
    return { code, message: error.message };
  }

  async function submit(
    summary: DevSummary,
    more: Record<string, unknown> = {},
  ): Promise<{ status: number; body: unknown }> {
    return call(summary, 'tasks?wait_s=10', { body: { tool: 'noop', action: 'run', payload: {}, ...more } });
  }

  it('is served as the settings of its process say: nobody calls more often than that', async () => {
    const summary = await start({ environment: { RATE_LIMIT_CREDENTIAL: '2', RATE_LIMIT_NETWORK: '1000' } }).ready;
    const calls = await Promise.all(Array.from({ length: 20 }, () => call(summary, 'tasks')));
    const refused = calls.filter(({ status }) => status === 429).length;
    expect(refused).to.be.within(14, 18);
    const everyone = await Promise.all(Array.from({ length: 20 }, () => fetch(`${summary.url}/health`)));
    expect(everyone.map(({ status }) => status)).to.deep.equal(Array(20).fill(200));
  });

  it('belongs to one process at a time: a second one says whose it is, and leaves it alone', async () => {
    const first = start();
    const summary = await first.ready;
    const { code, message } = await failure(start());
    expect(code).to.equal(3);
    expect(message).to.equal(
      `${dataDir} is in use by another process (pid ${first.pid.toString()}): stop that one, or choose another data folder`,
    );
    expect(await submit(summary)).to.nested.include({ status: 202, 'body.state': 'succeeded' });
  });

  it('is let go at SIGTERM, within seconds, with nothing left running', async () => {
    const dev = start();
    const summary = await dev.ready;
    await submit(summary);
    expect(postgresOf(dataDir)).not.to.have.length(0);
    const askedMs = Date.now();
    const { code, signal, stderr } = await dev.stop();
    expect({ code, signal }).to.deep.equal({ code: 0, signal: null });
    expect(Date.now() - askedMs, stderr).to.be.below(stopMs);
    expect(postgresOf(dataDir)).to.deep.equal([]);
    expect(await readdir(dataDir)).not.to.include.members(['url']);
  });

  it('recovers when process and database were killed, though another process has the old number now', async () => {
    const dev = start();
    const [task] = [await submit(await dev.ready)];
    for (const pid of postgresOf(dataDir)) killProcess(pid);
    await dev.kill();
    await eventually(() => (postgresOf(dataDir).length === 0 ? true : undefined));
    const lockFile = join(clusterPath(join(dataDir, 'postgres')), 'postmaster.pid');
    const [, ...rest] = (await readFile(lockFile, 'utf8')).split('\n');
    await writeFile(lockFile, [process.pid.toString(), ...rest].join('\n'));
    const summary = await start().ready;
    expect((await call(summary, `tasks/${(task?.body as { task_id: string }).task_id}`)).body).to.include({
      state: 'succeeded',
    });
    expect(await submit(summary)).to.nested.include({ status: 202, 'body.state': 'succeeded' });
  });

  it('is refused where it was copied back from an earlier state: nothing is signed, nothing runs, reads go on', async () => {
    const dev = start();
    const summary = await dev.ready;
    await submit(summary);
    const due = { run_at: new Date(Date.now() + 2000).toISOString() };
    const waiting = await call(summary, 'tasks', { body: { tool: 'noop', action: 'run', payload: {}, ...due } });
    const { task_id } = waiting.body as { task_id: string };
    expect((await dev.stop()).code).to.equal(0);
    await runProgram('cp', ['-a', dataDir, join(home, 'copy')]);
    const again = start();
    await submit(await again.ready);
    expect((await again.stop()).code).to.equal(0);
    await rm(dataDir, { recursive: true });
    await rename(join(home, 'copy'), dataDir);
    const restored = await start().ready;
    await expectFenced(restored, task_id, 'log_shorter_than_mark');
  });

  it('is refused where the mark is gone, and says what to do', async () => {
    const dev = start();
    await submit(await dev.ready);
    const due = { run_at: new Date(Date.now() + 2000).toISOString() };
    const waiting = await call(await dev.ready, 'tasks', {
      body: { tool: 'noop', action: 'run', payload: {}, ...due },
    });
    await dev.stop();
    await rm(join(home, '.local'), { recursive: true });
    const summary = await start().ready;
    await expectFenced(summary, (waiting.body as { task_id: string }).task_id, 'mark_missing');
    const { body } = await call(summary, 'ready');
    expect(JSON.stringify(body)).to.include('Put the mark file back, or start with a fresh data folder');
  });

  async function expectFenced(summary: DevSummary, waiting: string, reason: string): Promise<void> {
    const ready = await call(summary, 'ready');
    expect(ready.status).to.equal(503);
    expect(JSON.stringify(ready.body)).to.include(reason);
    const submitted = await submit(summary);
    expect(submitted.status).to.equal(503);
    expect(submitted.body).to.include({ code: 'fenced' });
    const checkpoint = await call(summary, 'audit/records?limit=500');
    expect(checkpoint.status).to.equal(200);
    // The task is due by now, and the leader would have had some rounds.
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect((await call(summary, `tasks/${waiting}`)).body).to.include({ state: 'waiting', attempt: 0 });
    const explained = (await call(summary, `tasks/${waiting}/explain`)).body as { reasons: { code: string }[] };
    expect(explained.reasons.map(({ code }) => code)).to.include('fenced');
    expect(await call(summary, 'audit/records?limit=500')).to.deep.equal(checkpoint);
  }

  it('is not opened with the mark inside of it', async () => {
    const marks = join(dataDir, 'marks');
    const { code, message } = await failure(start({ environment: { MARK_DIR: marks } }));
    expect(code).to.equal(3);
    expect(message).to.equal(`MARK_DIR (${marks}) lies inside the data folder. Choose a folder outside of it.`);
  });

  it('is let go again where the port of the API is taken, with a message that names it', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, message } = await failure(start({ http: `127.0.0.1:${port.toString()}` }));
    other.close();
    expect(code).to.equal(3);
    expect(message).to.include(`127.0.0.1:${port.toString()}`);
    expect(postgresOf(dataDir)).to.deep.equal([]);
    await start().ready;
  });
});
