import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { buildGoodLog } from './build-bundle.ts';
import { cases } from './cases.ts';
import type { Members } from './log-builder.ts';

const script = fileURLToPath(new URL('../verify_bundle.py', import.meta.url));

describe('the second verifier, in Python', function () {
  this.timeout(30_000);
  let folder: string;
  let bundles = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'writ-second-verifier-'));
  });

  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (members: Members, policy: string, environment: Record<string, string> = {}): Promise<number> => {
    const path = join(folder, (bundles++).toString());
    await mkdir(path);
    for (const [name, bytes] of members) await writeFile(join(path, name), bytes);
    const policyPath = `${path}.policy`;
    await writeFile(policyPath, policy);
    return new Promise((resolve) => {
      const child = execFile('python3', [script, path, policyPath], {
        env: { PATH: process.env['PATH'], ...environment },
      });
      child.on('exit', (code) => {
        resolve(code ?? -1);
      });
    });
  };

  it('verifies a good bundle, whole and in part', async () => {
    const { log } = buildGoodLog(120);
    for (const from of [0, 1, 33, log.size]) expect(await run(await log.bundle(from), log.policy)).to.equal(0);
  });

  it('verifies with the openssl command where there is no package', async () => {
    const { log } = buildGoodLog(20);
    const shadow = join(folder, 'shadow');
    await mkdir(shadow);
    await writeFile(join(shadow, 'cryptography.py'), 'raise ImportError("not installed")\n');
    const members = await log.bundle();
    expect(await run(members, log.policy, { PYTHONPATH: shadow })).to.equal(0);
    const manifests = (members.get('receipts.jsonl') ?? '').toString();
    members.set('receipts.jsonl', Buffer.from(manifests.replace(/"jws":"e/, '"jws":"f')));
    expect(await run(members, log.policy, { PYTHONPATH: shadow })).to.equal(1);
  });

  it('finds a flipped bit in any member', async () => {
    const { log } = buildGoodLog(60);
    const good = await log.bundle();
    for (const [member, bytes] of good) {
      if (member === 'bundle.json') continue;
      for (const part of [0.02, 0.5, 0.97]) {
        const at = Math.floor(bytes.length * part);
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 1;
        expect(await run(new Map(good).set(member, changed), log.policy), `${member} at ${at.toString()}`).to.equal(1);
      }
    }
  });

  for (const { name, exitCode, build } of cases) {
    it(`agrees with the first about ${name}`, async () => {
      const { members, policy } = await build();
      expect(await run(members, policy)).to.equal(exitCode);
    });
  }
});
