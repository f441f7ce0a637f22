/** The lock of a data folder. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { FatalError } from '../../src/domain/error.ts';
import { lockDataFolder } from '../../src/platform/data-folder.ts';

const MODULE = new URL('../../src/platform/data-folder.ts', import.meta.url).href;

/** Takes the lock, says so or why not, and stays until its standard input ends. */
const PROGRAM = `
import { lockDataFolder } from ${JSON.stringify(MODULE)};
lockDataFolder(process.argv[1]).then(
  () => console.log('held'),
  (error) => { console.log('refused: ' + error.message); process.exit(); },
);
process.stdin.resume().on('end', () => process.exit());
`;

interface Contender {
  child: ChildProcess;
  answer: string;
}

describe('the lock of a data folder', () => {
  let dir: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    dir = join(await mkdtemp(join(tmpdir(), 'writ-test-folder-')), 'data');
  });

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await rm(join(dir, '..'), { recursive: true, force: true });
  });

  async function contend(): Promise<Contender> {
    const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', PROGRAM, dir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, answer: chunk.toString().trim() };
  }

  async function refusal(): Promise<string> {
    try {
      await lockDataFolder(dir);
    } catch (error) {
      expect(error).to.be.instanceOf(FatalError);
      return (error as Error).message;
    }
    throw new Error('it was not refused');
  }

  it('makes the folder for its owner alone', async () => {
    await lockDataFolder(dir);
    expect((await stat(dir)).mode & 0o777).to.equal(0o700);
  });

  it('refuses a second process and names the first and the folder', async () => {
    const { child, answer } = await contend();
    expect(answer).to.equal('held');
    expect(await refusal())
      .to.contain(`pid ${child.pid}`)
      .and.to.contain(dir);
  });

  it('refuses the same process a second time', async () => {
    await lockDataFolder(dir);
    expect(await refusal()).to.contain(`pid ${process.pid}`);
  });

  it('takes over from a process that was killed', async () => {
    const { child } = await contend();
    child.kill('SIGKILL');
    await once(child, 'exit');
    await lockDataFolder(dir);
    expect(await refusal()).to.contain(`pid ${process.pid}`);
  });

  it('takes over when the number of the dead process belongs to another one now', async function () {
    if (process.platform !== 'linux') this.skip();
    await lockDataFolder(dir);
    const [name] = await readdir(join(dir, 'lock'));
    const path = join(dir, 'lock', name ?? '');
    const lock = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...lock, started: '1' }));
    await lockDataFolder(dir);
  });

  it('takes over after a file that a broken disk left without content', async () => {
    await mkdir(join(dir, 'lock'), { recursive: true });
    await writeFile(join(dir, 'lock', '7'), '');
    await lockDataFolder(dir);
    expect(await readdir(join(dir, 'lock'))).to.deep.equal(['8']);
  });

  it('can be taken again after it was released, twice even', async () => {
    const first = await lockDataFolder(dir);
    await first.release();
    const second = await lockDataFolder(dir);
    await first.release();
    expect(await refusal()).to.contain(`pid ${process.pid}`);
    await second.release();
    await lockDataFolder(dir);
  });

  it('goes to exactly one of many that want it at once, from a dead holder', async () => {
    const { child } = await contend();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockDataFolder(dir)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
    expect(await readdir(join(dir, 'lock'))).to.have.length(1);
  });

  it('is never held twice, however fast it changes hands', async () => {
    let held = 0;
    const taken = await Promise.all(
      Array.from({ length: 12 }, async (_, contender) => {
        let count = 0;
        for (let round = 0; round < 40; round += 1) {
          const lock = await lockDataFolder(dir).catch(() => undefined);
          if (lock === undefined) continue;
          held += 1;
          expect(held).to.equal(1);
          for (let turns = 0; turns < contender % 4; turns += 1) await new Promise(setImmediate);
          held -= 1;
          await lock.release();
          count += 1;
        }
        return count;
      }),
    );
    expect(Math.max(...taken)).to.be.greaterThan(0);
  });

  it('is not given to a process that looked too early and comes too late', async () => {
    const elsewhere = join(dir, '..', 'elsewhere');
    await lockDataFolder(elsewhere);
    const held = await readFile(join(elsewhere, 'lock/1'));
    await mkdir(join(dir, 'lock'), { recursive: true });
    // Reading a pipe waits for its writer: the late process has seen number 1, and is told last of all that it is free.
    await promisify(execFile)('mkfifo', [join(dir, 'lock/1')]);
    const late = refusal();
    const pipe = await open(join(dir, 'lock/1'), 'w');
    await writeFile(join(dir, 'lock/3'), held);
    await rm(join(dir, 'lock/1'));
    await pipe.writeFile(JSON.stringify({ released: true }));
    await pipe.close();
    expect(await late).to.contain(`pid ${process.pid}`);
    expect(await readdir(join(dir, 'lock'))).to.deep.equal(['3']);
  });

  it('goes to exactly one of several processes', async () => {
    const contenders = await Promise.all(Array.from({ length: 4 }, () => contend()));
    const held = contenders.filter(({ answer }) => answer === 'held');
    expect(held).to.have.length(1);
    for (const { answer } of contenders.filter((one) => one !== held[0])) {
      expect(answer).to.contain(`pid ${held[0]?.child.pid}`);
    }
  });
});
