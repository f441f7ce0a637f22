import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { formatReport, verifyBundle } from '../../src/cli/audit-verify.ts';
import { openBundle } from '../../src/cli/bundle-source.ts';
import { AppError } from '../../src/domain/error.ts';
import { readWhole } from '../../src/proof/bundle-source.ts';
import { parseState } from '../../src/proof/state.ts';
import { buildGoodLog } from '../proof/build-bundle.ts';
import type { Members } from '../proof/log-builder.ts';

const run = promisify(execFile);

describe('bundles on disk', () => {
  let folder: string;
  let members: Members;
  let policyPath: string;
  let names = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'writ-bundle-source-'));
    const { log } = buildGoodLog(60);
    members = await log.bundle();
    policyPath = join(folder, 'audit.policy');
    await writeFile(policyPath, log.policy);
  });

  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const put = async (files: Members): Promise<string> => {
    const path = join(folder, `bundle-${(names++).toString()}`);
    await mkdir(path);
    for (const [name, bytes] of files) await writeFile(join(path, name), bytes);
    return path;
  };

  const codeOf = async (path: string): Promise<number | string> => {
    try {
      return (await verifyBundle({ path, policyPath })).exit_code;
    } catch (error) {
      return error instanceof AppError ? error.reason : String(error);
    }
  };

  const tar = async (...options: string[]): Promise<string> => {
    const path = join(folder, `bundle-${(names++).toString()}.tar`);
    await run('tar', ['-cf', path, ...options]);
    return path;
  };

  it('are read as a directory, and as a tar with its members at the top or in one folder', async () => {
    const path = await put(members);
    const parent = join(path, '..');
    const name = path.slice(parent.length + 1);
    expect(await codeOf(path)).to.equal(0);
    expect(await codeOf(await tar('-C', path, ...members.keys()))).to.equal(0);
    expect(await codeOf(await tar('-C', path, '.'))).to.equal(0);
    expect(await codeOf(await tar('-C', parent, name))).to.equal(0);
    expect(await codeOf(await tar('--format=pax', '-C', parent, name))).to.equal(0);
    expect(await codeOf(await tar('--format=ustar', '-C', parent, name))).to.equal(0);
    const compressed = join(folder, 'bundle.tar.gz');
    await run('tar', ['-czf', compressed, '-C', parent, name]);
    expect(await codeOf(compressed)).to.equal(0);
  });

  it('hand out each member byte for byte, from a compressed tar too', async () => {
    const path = await put(members);
    const compressed = `${path}.tgz`;
    await run('tar', ['-czf', compressed, '-C', path, ...members.keys()]);
    const source = await openBundle(compressed);
    expect(await source.members()).to.have.members([...members.keys()]);
    const read = await Promise.all([...members.keys()].map((name) => readWhole(source, name, 1024 * 1024)));
    for (const [i, bytes] of [...members.values()].entries()) expect(read[i]?.equals(bytes)).to.equal(true);
  });

  it('are refused with a member too many, one too few, a link or a folder inside', async () => {
    expect(await codeOf(await put(new Map([...members, ['more.txt', Buffer.from('x')]])))).to.equal(1);
    const fewer = new Map(members);
    fewer.delete('receipts.jsonl');
    expect(await codeOf(await put(fewer))).to.equal(1);
    const linked = await put(fewer);
    await symlink('/dev/null', join(linked, 'receipts.jsonl'));
    expect(await codeOf(linked)).to.equal(1);
    expect(await codeOf(await tar('-C', linked, '.'))).to.equal(1);
    const nested = await put(members);
    await mkdir(join(nested, 'inner'));
    await writeFile(join(nested, 'inner', 'checkpoint'), '');
    expect(await codeOf(nested)).to.equal(1);
    expect(await codeOf(await tar('-C', nested, '.'))).to.equal(1);
  });

  it('are refused as a tar that names a member twice, is cut off, or is damaged', async () => {
    const path = await put(members);
    const file = await tar('-C', path, ...members.keys(), 'checkpoint');
    expect(await codeOf(file)).to.equal(1);
    const bytes = await readFile(await tar('-C', path, ...members.keys()));
    const damaged: Buffer[] = [
      bytes.subarray(0, 5000),
      bytes.subarray(0, bytes.length - 10_240),
      Buffer.concat([bytes, Buffer.from('more')]),
      Buffer.concat([bytes, bytes]),
      Buffer.concat([bytes.subarray(0, 100), Buffer.from('7'), bytes.subarray(101)]),
      Buffer.from('not a tar at all'),
      Buffer.alloc(0),
      gzipSync(bytes).subarray(0, 3000),
      Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(600, 7)]),
    ];
    for (const [i, content] of damaged.entries()) {
      const damagedPath = join(folder, `damaged-${(names++).toString()}`);
      await writeFile(damagedPath, content);
      expect(await codeOf(damagedPath), `damage ${i.toString()}`).to.equal(1);
    }
  });

  it('are told apart from paths and policies that cannot be used', async () => {
    const path = await put(members);
    expect(await codeOf(join(folder, 'nowhere'))).to.equal('bundle_unreadable');
    const reasonOf = async (options: { policyPath: string; statePath?: string }): Promise<string> => {
      const error: unknown = await verifyBundle({ path, ...options }).catch((caught: unknown) => caught);
      return error instanceof AppError ? error.reason : String(error);
    };
    expect(await reasonOf({ policyPath: join(folder, 'nowhere') })).to.equal('policy_unreadable');
    const wrong = join(folder, 'wrong.policy');
    await writeFile(wrong, 'trust everybody\n');
    expect(await reasonOf({ policyPath: wrong })).to.equal('bad_policy');
    expect(await reasonOf({ policyPath, statePath: wrong })).to.equal('bad_state');
    const other = join(folder, 'other.state');
    await writeFile(other, `{"log":"other","root":"${Buffer.alloc(32).toString('base64')}","size":1,"v":1}\n`);
    expect(await reasonOf({ policyPath, statePath: other })).to.equal('bad_state');
  });

  it('are remembered once verified, and refused when the log is shorter the next time', async () => {
    const statePath = join(folder, 'remembered.state');
    const { log } = buildGoodLog(60);
    const whole = await put(await log.bundle());
    expect(await verifyBundle({ path: whole, policyPath, statePath })).to.include({ exit_code: 0 });
    expect(parseState(await readFile(statePath, 'utf8')).size).to.equal(log.size);
    expect((await verifyBundle({ path: whole, policyPath, statePath })).notes.join()).not.to.include(
      'no earlier state',
    );
    log.checkpoints.pop();
    const shorter = await verifyBundle({ path: await put(await log.bundle()), policyPath, statePath });
    expect(shorter.first_bad).to.include({ rule: 33, member: 'checkpoint' });
    expect(parseState(await readFile(statePath, 'utf8')).size).to.equal(log.size);
  });

  it('are reported with the verdict first, the first bad record, and no control characters', async () => {
    const good = formatReport(await verifyBundle({ path: await put(members), policyPath }));
    expect(good)
      .to.match(/^VERIFIED/)
      .and.to.include('records');
    const records = Buffer.from(members.get('records.jsonl') ?? '');
    records[records.indexOf('"seq":7,')] = 0x1b;
    const bad = formatReport(
      await verifyBundle({ path: await put(new Map(members).set('records.jsonl', records)), policyPath }),
    );
    expect(bad)
      .to.match(/^TAMPERED/)
      .and.to.include('records.jsonl, line 8, record 7');
    const hostile = { member: 'checkpoint', expected: 'a\u001b[2J\u202e\n', found: '\u0007', seq: 1 };
    const shown = formatReport({
      exit_code: 1,
      verdict: 'tampered',
      first_bad: hostile,
      absences: [],
      counts: {} as never,
      farthest_step_back_ms: 0,
      notes: [],
    });
    expect(shown).to.include('a\\u{1b}[2J\\u{202e}\\u{a}').and.to.include('\\u{7}');
  });
});
