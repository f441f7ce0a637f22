/** The embedded server: what it is like, and that it comes back from whatever its process went through. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import { FatalError } from '../../../src/domain/error.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../../src/platform/postgres/embedded.ts';
import { openSession } from '../../../src/platform/postgres/session.ts';
import { makeScratchFolder } from '../../support/scratch.ts';

const MODULE = new URL('../../../src/platform/postgres/embedded.ts', import.meta.url).href;
const run = promisify(execFile);

/** Starts a server on a folder, commits a row in it, says its pid, and stays. */
const PROGRAM = `
import { startEmbeddedPostgres } from ${JSON.stringify(MODULE)};
import pg from 'pg';
const { url, pid } = await startEmbeddedPostgres({ dataDir: process.argv[1] });
const client = new pg.Client({ connectionString: url });
await client.connect();
await client.query('create table if not exists kept (n int); insert into kept values (1)');
console.log(pid);
setInterval(() => undefined, 1000);
`;

describe('an embedded server that runs', () => {
  let parent: string;
  let dataDir: string;
  let postgres: EmbeddedPostgres;

  before(async () => {
    parent = await makeScratchFolder('writ-test-embedded-');
    dataDir = join(parent, 'postgres');
    postgres = await startEmbeddedPostgres({ dataDir });
  });

  after(async () => {
    await postgres.stop();
    await rm(parent, { recursive: true, force: true });
  });

  it('listens on loopback only, is durable, and knows UTF-8 in the order of its bytes', async () => {
    const { adminUrl, url, port } = postgres;
    const settings = [
      'listen_addresses',
      'unix_socket_directories',
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'password_encryption',
    ];
    const columns = settings.map((name) => `current_setting('${name}') as ${name}`).join(', ');
    expect(await query(adminUrl, `select ${columns}`)).to.deep.equal([
      {
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        fsync: 'on',
        synchronous_commit: 'on',
        full_page_writes: 'on',
        password_encryption: 'scram-sha-256',
      },
    ]);
    expect(
      await query(
        url,
        `select pg_encoding_to_char(encoding) as encoding, datcollate::text, inet_server_port() as port
           from pg_database where datname = current_database()`,
      ),
    ).to.deep.equal([{ encoding: 'UTF8', datcollate: 'C', port }]);
  });

  it('lets nobody in without the password, and keeps that in a file of its owner alone', async () => {
    const { url, adminUrl } = postgres;
    for (const right of [url, adminUrl]) {
      const wrong = new URL(right);
      wrong.password = 'guess';
      const error: unknown = await openSession({ url: wrong.href, applicationName: 'test' }).catch(
        (reason: unknown) => reason,
      );
      expect(error).to.have.property('code', '28P01');
    }
    expect((await stat(join(dataDir, 'credentials.json'))).mode & 0o777).to.equal(0o600);
  });

  it('has an owner of the database who is no superuser, and can become the roles it makes', async () => {
    const { url } = postgres;
    await query(url, 'create role embedded_test_role nologin; set role embedded_test_role');
    expect(await query(url, 'select usesuper from pg_user where usename = current_user')).to.deep.equal([
      { usesuper: false },
    ]);
  });

  it('gets nothing of this process’s environment', async function () {
    if (process.platform !== 'linux') this.skip();
    const { pid } = postgres;
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8');
    expect(environment).to.not.contain('npm_').and.to.not.contain('HOME=');
  });

  it('writes no password to its log', async () => {
    const log = await readFile(join(dataDir, 'postgres.log'), 'utf8');
    expect(log).to.contain('ready to accept connections');
    for (const url of [postgres.adminUrl, postgres.url]) expect(log).to.not.contain(new URL(url).password);
  });
});

describe('an embedded server that comes and goes', () => {
  let made: string;
  let parent: string;
  let dataDir: string;
  let started: EmbeddedPostgres[];
  let children: ChildProcess[];

  before(async () => {
    made = await makeScratchFolder('writ-test-made-');
    await (await startEmbeddedPostgres({ dataDir: join(made, 'postgres') })).stop();
  });

  after(() => rm(made, { recursive: true, force: true }));

  beforeEach(async () => {
    parent = await makeScratchFolder('writ-test-embedded-');
    dataDir = join(parent, 'postgres');
    // Keeps the owners of all files, which node's own cp does not.
    await run('sh', ['-c', 'tar -C "$1" -cf - postgres | tar -C "$2" -xpf -', 'sh', made, parent]);
    started = [];
    children = [];
  });

  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const postgres of started) await postgres.stop();
    await rm(parent, { recursive: true, force: true });
  });

  async function start(options: { port?: number } = {}): Promise<EmbeddedPostgres> {
    const postgres = await startEmbeddedPostgres({ dataDir, ...options });
    started.push(postgres);
    return postgres;
  }

  async function refusal(options: { port?: number } = {}): Promise<string> {
    const error: unknown = await start(options).then(
      () => expect.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(FatalError);
    return (error as FatalError).message;
  }

  function startElsewhere(): ChildProcess & { stdout: NonNullable<ChildProcess['stdout']> } {
    const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', PROGRAM, dataDir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  it('ends when stopped, and keeps its data for the next start', async () => {
    const first = await start();
    await query(first.url, 'create table kept (n int)');
    await Promise.all([first.stop(), first.stop()]);
    expect(await first.exited).to.deep.equal({ code: 0, signal: null });
    const second = await start();
    expect(await query(second.url, 'select n from kept')).to.deep.equal([]);
  });

  it('tells when it ended by itself', async () => {
    const postgres = await start();
    process.kill(postgres.pid, 'SIGQUIT');
    await postgres.exited;
    await postgres.stop();
    await start();
  });

  it('takes the port it is given, and says so where that is taken', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const { port } = blocker.address() as AddressInfo;
    expect(await refusal({ port })).to.contain('Address already in use');
    await new Promise((resolve) => blocker.close(resolve));
    expect((await start({ port })).port).to.equal(port);
  });

  it('refuses files of another version of PostgreSQL', async () => {
    await writeFile(join(dataDir, 'cluster/PG_VERSION'), '9\n');
    expect(await refusal()).to.contain('was made by PostgreSQL 9');
  });

  it('ends with its process when that is killed, and has all that was committed', async () => {
    const child = startElsewhere();
    const [pid] = (await once(child.stdout, 'data')) as [Buffer];
    await kill(child);
    while (await isAlive(Number(pid.toString())));
    const { url } = await start();
    expect(await query(url, 'select n from kept')).to.deep.equal([{ n: 1 }]);
  });

  it('starts at once after its process was killed, whatever still ends', async () => {
    for (let round = 1; round <= 3; round += 1) {
      const child = startElsewhere();
      await once(child.stdout, 'data');
      await kill(child);
      const postgres = await start();
      expect(await query(postgres.url, 'select n from kept')).to.have.length(round);
      await postgres.stop();
    }
  }).timeout(30_000);

  it('is ended by the next start when its process was killed and nothing ended it', async function () {
    if (process.platform !== 'linux') this.skip();
    const child = startElsewhere();
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    const pid = Number(chunk.toString());
    for (const watcher of await sessionMembers(pid, 'sh')) process.kill(watcher, 'SIGKILL');
    await kill(child);
    process.kill(pid, 0);
    const { url } = await start();
    expect(await isAlive(pid)).to.equal(false);
    expect(await query(url, 'select n from kept')).to.deep.equal([{ n: 1 }]);
  });

  it('starts after all of it was killed', async function () {
    if (process.platform !== 'linux') this.skip();
    const child = startElsewhere();
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    const pid = Number(chunk.toString());
    process.kill(pid, 'SIGKILL');
    await kill(child);
    await stat(join(dataDir, 'cluster/postmaster.pid'));
    const { url } = await start();
    expect(await query(url, 'select n from kept')).to.deep.equal([{ n: 1 }]);
  });

  it('starts though the lock file names a process that is something else now', async () => {
    const { uid, gid } = await stat(join(dataDir, 'cluster'));
    const other = spawn('sleep', ['1000'], { uid, gid, stdio: 'ignore' });
    children.push(other);
    await once(other, 'spawn');
    await writeFile(join(dataDir, 'cluster/postmaster.pid'), `${other.pid}\n${dataDir}/cluster\n`);
    await start();
    expect(other.exitCode ?? other.signalCode).to.equal(null);
  });

  it('starts though the lock file is empty', async () => {
    await writeFile(join(dataDir, 'cluster/postmaster.pid'), '');
    await start();
  });

  it('is made anew where making it was interrupted', async () => {
    await rm(dataDir, { recursive: true });
    const watcher = watch(parent, { recursive: true });
    const begun = new Promise<void>((resolve) => {
      watcher.on('change', (_, name) => {
        if (String(name).includes('PG_VERSION')) resolve();
      });
    });
    const child = startElsewhere();
    await begun;
    watcher.close();
    await kill(child);
    expect((await readdir(dataDir)).some((name) => name.startsWith('cluster.partial-'))).to.equal(true);
    const { url } = await start();
    expect(await query(url, 'select 1 as one')).to.deep.equal([{ one: 1 }]);
    expect((await readdir(dataDir)).sort()).to.deep.equal(['cluster', 'credentials.json', 'postgres.log']);
  });
});

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const session = await openSession({ url, applicationName: 'test' });
  try {
    return (await session.query<Record<string, unknown>>(text)).rows;
  } finally {
    await session.end();
  }
}

/** A process that ended and that nobody has asked about yet counts as gone. */
async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await run('ps', ['-o', 'stat=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return /^[^Z]/.test(stdout.trim());
}

/** Processes of a session that run a program of this name. */
async function sessionMembers(session: number, program: string): Promise<number[]> {
  const members: number[] = [];
  for (const entry of await readdir('/proc')) {
    const status = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const [, name, rest] = /^\d+ \((.*)\) (.*)/.exec(status) ?? [];
    if (name === program && Number(rest?.split(' ')[3]) === session) members.push(Number(entry));
  }
  return members;
}
