import { expect } from 'chai';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'mocha';
import { startScriptedServer, taskBody } from '../client/scripted-server.ts';
import { buildGoodLog } from '../proof/build-bundle.ts';
import { makeScratchFolder } from '../support/scratch.ts';
import { run, spawnCli } from './run.ts';

describe('the command line', () => {
  it('shows help on stdout with 0, and what is wrong on stderr with 3', async () => {
    const help = await run(['--help']);
    expect(help.code).to.equal(0);
    expect(help.stdout).to.match(/^Usage: writ/);
    for (const args of [
      [],
      ['task'],
      ['task', 'get'],
      ['whoami', 'extra'],
      ['whoami', '--nope'],
      ['audit', 'verify', 'x'],
    ]) {
      const { code, stdout, stderr } = await run(args);
      expect({ code, stdout }, args.join(' ')).to.deep.equal({ code: 3, stdout: '' });
      expect(stderr).to.not.equal('');
    }
  });

  it('suggests the command that was meant', async () => {
    expect((await run(['submitt'])).stderr).to.include('Did you mean submit?');
    expect((await run(['task', 'lst'])).stderr).to.include('Did you mean list?');
  });

  it('escapes what the caller wrote before it is shown', async () => {
    expect((await run(['\u001b[2J'])).stderr).to.include("unknown command '\\u001b[2J'");
    expect((await run(['whoami', '--url', '\u009b'])).stderr).to.not.include('\u009b');
  });

  it('gives every command examples and the exit codes', async () => {
    for (const args of [['submit'], ['task', 'list'], ['audit', 'verify'], ['dev']]) {
      const { stdout } = await run([...args, '--help']);
      expect(stdout)
        .to.match(/Examples:\n {2}\$ writ/)
        .and.include('Exit codes:');
    }
  });

  it('tells its version', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect((await run(['version'])).stdout).to.equal(`writ ${version} (node ${process.version})\n`);
    expect((await run(['--version'])).stdout).to.equal(`${version}\n`);
  });

  it('shows the effective settings with their sources, and every one that is wrong', async () => {
    const environment = { HTTP_LISTEN: '127.0.0.1:9000', XDG_STATE_HOME: '/state' };
    const { stdout } = await run(['config', '--changed', '--json'], { environment });
    expect(JSON.parse(stdout)).to.deep.equal({ http_listen: { value: '127.0.0.1:9000', source: 'environment' } });
    expect((await run(['config'], { environment })).stdout).to.match(
      /http_listen +127\.0\.0\.1:9000 +environment +HTTP_LISTEN/,
    );
    const { code, stderr } = await run(['config'], { environment: { HTTP_LISTEN: 'x', MAX_RETRIES: '-1' } });
    expect(code).to.equal(3);
    expect(stderr).to.include('HTTP_LISTEN').and.include('MAX_RETRIES');
  });

  it('knows the feeds that there are', async () => {
    expect((await run(['telemetry', 'tail', '--feed', 'all'])).code).to.equal(3);
  });
});

describe('writ as a process', () => {
  it('submits what is piped in and waits for it', async () => {
    const server = await startScriptedServer(({ method, url }) => {
      if (method === 'POST') return { status: 202, body: taskBody('id-1') };
      return {
        body: url.endsWith('/result')
          ? { ...taskBody('id-1'), status: 'succeeded', state: 'succeeded', output: 1 }
          : taskBody('id-1', { state: 'succeeded' }),
      };
    });
    const environment = { WRIT_URL: server.url, WRIT_TOKEN: 'secret-token' };
    const { code, stdout, stderr } = await spawnCli(['submit', '--wait', '--json'], {
      environment,
      stdin: '{"tool":"noop","action":"run"}',
    });
    await server.close();
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).to.include({ state: 'succeeded' });
  }).timeout(20_000);

  it('says that no writ dev runs where telemetry is asked for', async () => {
    const { code, stderr } = await spawnCli(['telemetry', 'tail', '--data', '/nonexistent']);
    expect(code).to.equal(5);
    expect(stderr).to.include('/nonexistent');
  }).timeout(20_000);

  it('ends quietly when whoever reads its output stops reading', async () => {
    const tasks = Array.from({ length: 400 }, () => taskBody('id', { source: 'x'.repeat(1000) }));
    const server = await startScriptedServer(() => ({ body: { tasks, next_cursor: null } }));
    const { code, stderr } = await spawnCli(['task', 'list', '--json'], {
      environment: { WRIT_URL: server.url },
      stopsReading: true,
    });
    await server.close();
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
  }).timeout(20_000);
});

describe('verifying offline', () => {
  let folder: string;
  before(async () => {
    folder = await makeScratchFolder('writ-verify-');
    const { log } = buildGoodLog(60);
    for (const [name, bytes] of await log.bundle()) await writeFile(join(folder, name), bytes);
    await writeFile(`${folder}.policy`, log.policy);
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await rm(`${folder}.policy`);
  });

  it('tells the verdict by its exit code and names what is wrong', async () => {
    const policy = ['--policy', `${folder}.policy`];
    const good = await run(['audit', 'verify', folder, ...policy, '--allow-pruned']);
    expect(good.stdout).to.match(/^VERIFIED/);
    expect(good.code).to.equal(0);
    const records = join(folder, 'records.jsonl');
    const text = await readFile(records, 'utf8');
    await writeFile(records, text.replace('"success"', '"failure"'));
    const bad = await run(['audit', 'verify', folder, ...policy, '--json']);
    await writeFile(records, text);
    expect(bad.code).to.equal(1);
    expect(JSON.parse(bad.stdout)).to.have.nested.property('first_bad.member', 'records.jsonl');
  });

  it('is a usage error without a policy that can be read', async () => {
    const { code, stderr } = await run(['audit', 'verify', folder, '--policy', join(folder, 'none')]);
    expect(code).to.equal(3);
    expect(stderr).to.include('Without a policy there is no verification');
  });

  it('loads no database driver, no client and nothing that opens sockets', async () => {
    const source = fileURLToPath(new URL('../../src/', import.meta.url));
    const loaded = new Set<string>();
    const queue = [join(source, 'cli/main.ts'), join(source, 'cli/audit-verify.ts')];
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      if (loaded.has(file)) continue;
      loaded.add(file);
      if (!file.startsWith('/')) continue;
      const statement = /^(?:import|export)\s(?!type\b)(?:[^;']*?from )?'([^']+)'/gms;
      const statements = (await readFile(file, 'utf8')).matchAll(statement);
      for (const [, name = ''] of statements) queue.push(name.startsWith('.') ? join(dirname(file), name) : name);
    }
    const names = [...loaded].map((name) => name.replace(source, ''));
    expect(names).to.include.members(['cli/audit-verify.ts', 'proof/verify.ts', 'node:crypto', 'commander']);
    const forbidden =
      /^(client|platform|app|doors|ledger)\/|^(node:)?(net|http|https|http2|tls|dgram|dns|undici)\b|^pg\b/;
    expect(names.filter((name) => forbidden.test(name))).to.deep.equal([]);
  });
});
