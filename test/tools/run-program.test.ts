/** Running programs: what they get, what their end means, and that nothing of them is left. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { CatalogAction } from '../../src/tools/catalog.ts';
import { runProcess } from '../../src/tools/process.ts';
import { listen, loadAction, outputOf, run, temporaryFolder, writeProgram, type EntryOptions } from './fixtures.ts';

describe('process.run', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let workDir: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    workDir = join(folder.path, 'work');
  });
  afterEach(() => folder.remove());

  async function action(source: string, entry: Partial<EntryOptions> & { more?: object } = {}): Promise<CatalogAction> {
    const program = await writeProgram(folder.path, 'tool', source);
    return loadAction(folder.path, { ...entry, run: { builtin: 'process.run', program, args: [], ...entry.more } });
  }

  it('gives a program its arguments, an environment by allow list, and a directory of its own', async () => {
    const tell = 'console.log(JSON.stringify({ args: process.argv.slice(2), env: process.env, cwd: process.cwd() }))';
    const more = {
      args: ['-a', { param: 'p' }, { each: 'l', flag: '--l' }],
      env: { MODE: 'x' },
      expects_output: 'json',
    };
    const properties = { p: { type: 'string' }, l: { type: 'array', items: { type: 'string' } } };
    process.env.WRIT_CANARY = 'secret';
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const result = await run(
      await action(tell, { more, properties }),
      { p: '; id $(id)', l: ['-x', 'y'] },
      { workDir, traceparent },
    );
    delete process.env.WRIT_CANARY;
    expect(result.error).to.equal(null);
    const seen = outputOf(result) as { args: string[]; env: Record<string, string | undefined>; cwd: string };
    // Node itself hands this on while coverage is measured.
    delete seen.env.NODE_V8_COVERAGE;
    expect(seen.args).to.deep.equal(['-a', '; id $(id)', '--l=-x', '--l=y']);
    expect(seen.env).to.deep.equal({
      ...{ LANG: 'C.UTF-8', MODE: 'x', TRACEPARENT: traceparent, HOME: seen.cwd, TMPDIR: seen.cwd },
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    });
    expect(seen.cwd.startsWith(join(workDir, 'attempt-'))).to.equal(true);
  });

  it('removes the working directory with all that the program left there', async () => {
    const result = await run(await action("require('fs').mkdirSync('a/b', { recursive: true })"), {}, { workDir });
    expect(result.status).to.equal('succeeded');
    expect(await readdir(workDir)).to.deep.equal([]);
  });

  it('closes standard input, or feeds it from the parameter', async () => {
    const echo =
      'process.stdin.on("data", (d) => process.stdout.write(d)).on("end", () => process.stdout.write("|end"))';
    expect((await run(await action(echo), {}, { workDir })).output.toString()).to.equal('|end');
    const fed = await action(echo, { more: { stdin: { param: 's' } }, properties: { s: { type: 'string' } } });
    expect((await run(fed, { s: '-- ü\n' }, { workDir })).output.toString()).to.equal('-- ü\n|end');
  });

  it('survives a program that does not read its input', async () => {
    const deaf = await action("require('fs').closeSync(0); setTimeout(() => {}, 200)", {
      more: { stdin: { param: 's' } },
      properties: { s: { type: 'string' } },
    });
    expect((await run(deaf, { s: 'x'.repeat(4_000_000) }, { workDir })).status).to.equal('succeeded');
  });

  it('runs nothing when the payload could become an option', async () => {
    const refused = await action('console.log(1)', {
      more: { args: [{ param: 'p' }] },
      properties: { p: { type: 'string' } },
    });
    const result = await run(refused, { p: '-rf' }, { workDir });
    expect(result).to.include({ status: 'failed', retryable: false, output_bytes: 0 });
    expect(result.error?.code).to.equal('payload_invalid');
    expect(await readdir(folder.path)).not.to.include('work');
  });

  const table = { 0: 'succeeded', 3: 'succeeded', 4: 'retryable', 5: 'failed' };
  for (const [code, exits, status, retryable] of [
    [0, undefined, 'succeeded', false],
    [1, undefined, 'failed', false],
    [0, table, 'succeeded', false],
    [3, table, 'succeeded', false],
    [4, table, 'failed', true],
    [5, table, 'failed', false],
    [6, table, 'failed', false],
    [0, { 1: 'succeeded' }, 'failed', false],
  ] as const) {
    it(`takes exit code ${code.toString()} with ${JSON.stringify(exits ?? 'no table')} for ${status}`, async () => {
      const exit = await action(`process.exit(${code.toString()})`, exits === undefined ? {} : { exit_codes: exits });
      const result = await run(exit, {}, { workDir });
      expect(result).to.include({ status, retryable });
      expect(result.metadata).to.include({ exit_code: code });
      expect(result.error?.code ?? null).to.equal(status === 'failed' ? `exit_${code.toString()}` : null);
    });
  }

  it('tells a program that was killed, and one that cannot be started', async () => {
    const killed = await run(await action("process.kill(process.pid, 'SIGKILL')"), {}, { workDir });
    expect(killed.error?.code).to.equal('killed_by_signal');
    expect(killed.metadata).to.include({ signal: 'SIGKILL' });
    const unstartable = await action('');
    await writeProgram(folder.path, 'tool', '').then(() => folder.remove());
    expect((await run(unstartable, {}, { workDir })).error?.code).to.equal('start_failed');
  });

  it('fails where JSON is promised and something else is written', async () => {
    const more = { expects_output: 'json' };
    const result = await run(await action('console.log("{")', { more }), {}, { workDir });
    expect(result).to.include({ status: 'failed' });
    expect(result.error?.code).to.equal('output_not_json');
    const long = await action('process.stdout.write(JSON.stringify("x".repeat(300000)))', { more });
    expect((await run(long, {}, { workDir })).error?.code).to.equal('output_too_large');
  });

  it('keeps the beginning of a large output, hashes all of it, and keeps the end of standard error', async () => {
    const size = 8 * 1024 * 1024;
    const source = `const fs = require('fs'); fs.writeSync(2, 'first ' + 'e'.repeat(10000) + ' last');
      for (let i = 0; i < 128; i++) fs.writeSync(1, Buffer.alloc(65536, 97 + (i % 26)));`;
    const whole = Buffer.concat(Array.from({ length: 128 }, (_, i) => Buffer.alloc(65_536, 97 + (i % 26))));
    const result = await run(await action(source), {}, { workDir });
    expect(result).to.include({ status: 'succeeded', truncated: true, output_bytes: size });
    expect(result.output.equals(whole.subarray(0, 256 * 1024))).to.equal(true);
    expect(result.output_sha256).to.equal(createHash('sha256').update(whole).digest('hex'));
    expect(result.metadata.stderr_tail)
      .to.have.length(4096)
      .and.match(/^e+ last$/);
    expect(result.metadata).to.include({ stderr_bytes: 10_011 });
  });

  it('ends a program that never stops writing at the time limit', async () => {
    const bomb = await loadAction(folder.path, { run: { builtin: 'process.run', program: 'yes', args: [] } });
    const result = await run(bomb, {}, { workDir, timeoutMs: 200 });
    expect(result).to.include({ status: 'timed_out', truncated: true, retryable: true });
    expect(result.output.byteLength).to.equal(256 * 1024);
    expect(result.output_bytes).to.be.greaterThan(256 * 1024);
  });

  it('kills a program that writes more than it may', async () => {
    const signal = new AbortController().signal;
    const order = { program: '/usr/bin/yes', args: [], cwd: '/', env: {}, stdin: undefined, signal };
    const outcome = await runProcess({ ...order, drainMaxBytes: 1_000_000 });
    expect(outcome).to.include({ flooded: true, exitSignal: 'SIGKILL' });
  });

  it('asks a program to end with SIGTERM first, and does not take its exit for success', async () => {
    const { port, sockets, close } = await watcher(1);
    const source = `process.on('SIGTERM', () => { console.log('asked'); process.exit(0); });
      require('net').connect(${port.toString()}, '127.0.0.1');`;
    const cancel = new AbortController();
    const work = run(await action(source), {}, { workDir, signal: cancel.signal });
    await sockets;
    cancel.abort();
    const result = await work;
    expect(result.output.toString()).to.equal('asked\n');
    expect(result).to.include({ status: 'cancelled', retryable: false });
    expect(result.metadata).to.include({ exit_code: 0 });
    await close();
  });

  it('does not offer another try of destructive work whose time was up', async () => {
    const stuck = await action('setInterval(() => {}, 1000)', { effects: 'destructive' });
    expect(await run(stuck, {}, { workDir, timeoutMs: 100 })).to.include({ status: 'timed_out', retryable: false });
  });

  it('starts nothing that was cancelled before', async () => {
    const result = await run(await action('console.log(1)'), {}, { workDir, signal: AbortSignal.abort() });
    expect(result).to.include({ status: 'cancelled', output_bytes: 0, retryable: false });
  });

  it('leaves nothing of a group alive whose members ignore SIGTERM', async () => {
    const { port, sockets, close } = await watcher(2);
    const ignoring = `process.on('SIGTERM', () => {}); require('net').connect(${port.toString()}, '127.0.0.1');
      setInterval(() => {}, 1000);`;
    const source = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(ignoring)}], { stdio: 'inherit' });
      ${ignoring}`;
    const cancel = new AbortController();
    const work = run(await action(source), {}, { workDir, signal: cancel.signal });
    const gone = (await sockets).map((socket) => once(socket, 'close'));
    cancel.abort();
    expect(await work).to.include({ status: 'cancelled' });
    await Promise.all(gone);
    await close();
  });

  it('kills what a program leaves running behind it, and does not wait for its pipes', async () => {
    const { port, sockets, close } = await watcher(1);
    const child = `process.on('SIGTERM', () => {}); const s = require('net').connect(${port.toString()}, '127.0.0.1');
      s.on('connect', () => process.stdout.write('up')); setInterval(() => {}, 1000);`;
    const source = `const c = require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}],
        { stdio: ['ignore', 'pipe', 'inherit'] });
      c.stdout.once('data', () => { console.log('done'); process.exit(0); });`;
    const work = run(await action(source), {}, { workDir });
    const gone = (await sockets).map((socket) => once(socket, 'close'));
    expect(await work).to.include({ status: 'succeeded' });
    await Promise.all(gone);
    await close();
  });
});

/** Processes show that they live by a connection, which ends with them. */
async function watcher(
  count: number,
): Promise<{ port: number; sockets: Promise<Socket[]>; close: () => Promise<void> }> {
  const server = createServer();
  const port = await listen(server);
  const sockets = new Promise<Socket[]>((resolve) => {
    const seen: Socket[] = [];
    server.on('connection', (socket) => {
      // A killed process may end its connection by a reset.
      socket.on('error', () => undefined).resume();
      seen.push(socket);
      if (seen.length === count) resolve(seen);
    });
  });
  return {
    port,
    sockets,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
