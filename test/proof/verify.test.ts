import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parsePolicy } from '../../src/proof/policy.ts';
import { verifyBundle } from '../../src/proof/verify.ts';
import { buildGoodLog } from './build-bundle.ts';
import { cases } from './cases.ts';
import { p256Key } from './keys.ts';
import { LogBuilder } from './log-builder.ts';
import { memorySource } from './memory-source.ts';

describe('the verifier of bundles', () => {
  it('verifies a whole log, and counts what happened in it', async () => {
    const { log } = buildGoodLog(300);
    const report = await verifyBundle(memorySource(await log.bundle(), 100), { policy: parsePolicy(log.policy) });
    expect(report).to.include({ exit_code: 0, verdict: 'verified', from: 0, size: log.size });
    expect(report.absences).to.deep.equal([]);
    const { counts } = report;
    expect(counts).to.include({ records: log.size, checkpoints: log.checkpoints.length, keys: 5, open: 0, unknown: 0 });
    expect(counts.orders).to.equal(counts.accepted + counts.lost + counts.voided);
    expect(counts.late).to.be.greaterThan(0);
    expect(counts).to.include({ changed_submissions: 0, unsubmitted: 0 });
  });

  it('verifies every part of a log, down to none of its records', async function () {
    this.timeout(30_000);
    const { log } = buildGoodLog(80);
    for (let from = 0; from <= log.size; from++) {
      const report = await verifyBundle(memorySource(await log.bundle(from)), { policy: parsePolicy(log.policy) });
      expect(report, `from ${from.toString()}`).to.include({ exit_code: 0, from });
    }
  });

  it('counts submissions that were ordered with another tool digest', async () => {
    const log = new LogBuilder();
    const key = p256Key(1);
    log.trustKey(key, 'manifest');
    const node = log.addNode(0);
    const tasks = log.submit(1);
    for (const task of tasks) task.grant.tool_digest = `sha256:${'6'.repeat(64)}`;
    log.issue(log.manifest(key, node, tasks));
    log.checkpoint();
    const report = await verifyBundle(memorySource(await log.bundle()), { policy: parsePolicy(log.policy) });
    expect(report.exit_code).to.equal(0);
    expect(report.counts.changed_submissions).to.equal(1);
  });

  it('counts what nodes claim of orders that they never had, since a hostile node could say anything', async () => {
    const wanted = 'late results of orders that their node never had, or that have no stop';
    const built = await cases.find(({ name }) => name === wanted)?.build();
    if (built === undefined) throw new Error('there is such a case');
    const report = await verifyBundle(memorySource(built.members), { policy: parsePolicy(built.policy) });
    expect(report.counts).to.include({ late: 3, stray: 3, open: 1 });
  });

  it('accepts pruned evidence where that is allowed', async () => {
    const { log, pruned } = buildGoodLog(60, { prune: true });
    const source = memorySource(await log.bundle(0, pruned));
    const policy = parsePolicy(log.policy);
    expect(await verifyBundle(source, { policy })).to.include({ exit_code: 2, verdict: 'pruned' });
    expect(await verifyBundle(source, { policy, allowPruned: true })).to.include({ exit_code: 0, verdict: 'verified' });
  });

  it('tells how far it is, up to the end', async () => {
    const { log } = buildGoodLog(60);
    const progress: number[] = [];
    const onProgress = (done: number): void => void progress.push(done);
    await verifyBundle(memorySource(await log.bundle()), { policy: parsePolicy(log.policy), onProgress });
    expect(progress.at(-1)).to.equal(log.size);
  });

  it('says that no earlier state was given', async () => {
    const { log } = buildGoodLog(20);
    const report = await verifyBundle(memorySource(await log.bundle()), { policy: parsePolicy(log.policy) });
    expect(report.notes.join()).to.include('rolled back');
  });

  for (const { name, exitCode, rule, absence, seq, member, build } of cases) {
    it(`${exitCode === 1 ? 'refuses' : exitCode === 2 ? 'finds incomplete' : 'accepts'} ${name}`, async () => {
      const { members, policy } = await build();
      const report = await verifyBundle(memorySource(members), { policy: parsePolicy(policy) });
      expect(report.exit_code, JSON.stringify(report.first_bad)).to.equal(exitCode);
      if (rule !== undefined) expect(report.first_bad?.rule, JSON.stringify(report.first_bad)).to.equal(rule);
      if (absence !== undefined) expect(report.absences.map(({ code }) => code)).to.include(absence);
      if (seq === 'last') expect(report.first_bad?.seq).to.equal((report.size ?? 0) - 1);
      if (member !== undefined && rule !== 30) expect(report.first_bad?.member).to.equal(member);
    });
  }
});
