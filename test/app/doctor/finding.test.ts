import { expect } from 'chai';
import { describe, it } from 'mocha';
import { examine } from '../../../src/app/doctor/finding.ts';

describe('the checks of a part', () => {
  it('are told in their order, and what they opened is closed, the last first', async () => {
    const closed: string[] = [];
    const findings = await examine('part', (examination) => {
      examination.defer(() => void closed.push('first'));
      examination.defer(() => void closed.push('second'));
      examination.ok('a', 'Good.');
      examination.warn('b', 'Not so good.', 'Do this.');
      return Promise.resolve();
    });
    expect(findings).to.deep.equal([
      { check: 'a', level: 'ok', message: 'Good.' },
      { check: 'b', level: 'warn', message: 'Not so good.', hint: 'Do this.' },
    ]);
    expect(closed).to.deep.equal(['second', 'first']);
  });

  it('keep what they have found when one of them throws', async () => {
    const findings = await examine('part', (examination) => {
      examination.ok('a', 'Good.');
      throw new Error('it broke');
    });
    expect(findings).to.deep.equal([
      { check: 'a', level: 'ok', message: 'Good.' },
      { check: 'part', level: 'fail', message: 'it broke' },
    ]);
  });

  it('end when their time is over, also where closing hangs, and say nothing afterwards', async () => {
    let late: () => void = () => undefined;
    const findings = await examine(
      'part',
      async (examination) => {
        examination.defer(() => new Promise(() => undefined));
        examination.ok('a', 'Good.');
        await new Promise<void>((resolve) => (late = resolve));
        examination.fail('b', 'Too late.');
      },
      50,
    );
    late();
    await new Promise((resolve) => setImmediate(resolve));
    expect(findings.map(({ check, level }) => `${level} ${check}`)).to.deep.equal(['ok a', 'fail part']);
    expect(findings[1]?.message).to.match(/longer than 0\.05 s/);
  });
});
