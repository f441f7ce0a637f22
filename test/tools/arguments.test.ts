/** Argument arrays: what a payload can and cannot put into them. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { processRun, type Argument } from '../../src/domain/tool.ts';
import { buildArguments, checkArguments } from '../../src/tools/arguments.ts';

function build(args: Argument[], payload: Record<string, unknown>) {
  return buildArguments(processRun.parse({ builtin: 'process.run', program: 'true', args }), payload);
}

/** Values that programs are known to take for options. */
const optionLike = [
  ...[
    '-',
    '--',
    '-v',
    '--version',
    '--help',
    '-o/etc/passwd',
    '--output=/etc/passwd',
    '-oProxyCommand=id',
    '-e',
    '-exec',
  ],
  ...[
    '--upload-pack=id',
    '--checkpoint-action=exec=id',
    '-T/etc/passwd',
    '-K/tmp/x',
    '-\n',
    '-\t-',
    '--\u0000',
    '-\u202e',
  ],
  ...[
    '-1',
    '-0',
    '--config=/tmp/evil',
    '-iL/etc/passwd',
    '--script=http-evil',
    '--post-file=/etc/shadow',
    '-c id',
    '-$(id)',
  ],
];

/** Values that mean something to a shell; without one they are text. */
const shellLike = [
  ...[
    '; id',
    '$(id)',
    '`id`',
    '| id',
    '&& id',
    '> /tmp/x',
    '< /etc/passwd',
    '*',
    '~',
    '$HOME',
    '\n id',
    "' id",
    '" id',
    '\\',
  ],
  ...['{a,b}', '!!', '#', '%n', 'a b', '', ' -x', '—version', '\u2010x', '/etc/passwd', '@file', '+x', '=x'],
];

describe('buildArguments', () => {
  for (const value of optionLike) {
    it(`refuses ${JSON.stringify(value)} where the program reads options`, () => {
      const built = build(['scan', { param: 'a' }, { each: 'list' }], { a: value, list: [value] });
      expect(built.problems.map(({ path }) => path)).to.deep.equal(['a', 'list.0']);
      expect(built.args).to.deep.equal(['scan']);
    });
  }

  it('passes what looks like an option as the value of a long option, and behind "--"', () => {
    for (const value of optionLike.filter((text) => !text.includes('\0'))) {
      expect(build([{ param: 'a', flag: '--name' }], { a: value })).to.deep.equal({
        args: [`--name=${value}`],
        problems: [],
      });
      expect(build(['--', { param: 'a' }], { a: value })).to.deep.equal({ args: ['--', value], problems: [] });
    }
  });

  it('does not take a "--" of the payload for the end of options', () => {
    const built = build([{ param: 'flag', flag: '--x' }, { param: 'a' }, { param: 'b' }], { a: '--', b: '-v' });
    expect(built.problems.map(({ path }) => path)).to.deep.equal(['a', 'b']);
  });

  for (const value of shellLike) {
    it(`passes ${JSON.stringify(value)} as one argument, as it is`, () => {
      expect(build([{ param: 'a' }], { a: value })).to.deep.equal({ args: [value], problems: [] });
    });
  }

  it('leaves out what the payload does not have, and never looks at inherited members', () => {
    expect(build(['x', { param: 'a' }, { param: 'a', flag: '--a' }, { each: 'b' }], {})).to.deep.equal({
      args: ['x'],
      problems: [],
    });
    expect(build([{ param: 'constructor' }], {})).to.deep.equal({ args: [], problems: [] });
  });

  it('passes numbers and booleans, and a true flag by its name alone', () => {
    const args: Argument[] = [{ param: 'n' }, { param: 't', flag: '--t' }, { param: 'f', flag: '--f' }, { param: 't' }];
    expect(build(args, { n: 5, t: true, f: false }).args).to.deep.equal(['5', '--t', 'true']);
  });

  it('refuses negative numbers where they would be options', () => {
    expect(build([{ param: 'n' }], { n: -5 }).problems).to.have.length(1);
  });

  it('repeats an option for each item of a list', () => {
    expect(build([{ each: 'l', flag: '--l' }], { l: ['a', '-b'] }).args).to.deep.equal(['--l=a', '--l=-b']);
  });

  it('refuses NULs everywhere, and values that are no single text', () => {
    for (const value of ['a\0b', {}, [], null]) {
      expect(build(['--', { param: 'a' }], { a: value }).problems, JSON.stringify(value)).to.have.length(1);
      expect(build([{ param: 'a', flag: '--a' }], { a: value }).problems).to.have.length(1);
    }
  });

  it('refuses more and longer arguments than a program can be given', () => {
    expect(build([{ each: 'l' }], { l: Array.from({ length: 5000 }, () => 'a') }).problems).to.have.length(1);
    expect(build([{ param: 'a' }], { a: 'a'.repeat(70_000) }).problems).to.have.length(1);
  });
});

describe('checkArguments', () => {
  it('compares the argument list with the parameters', () => {
    const run = processRun.parse({
      builtin: 'process.run',
      program: 'true',
      args: [{ param: 'missing' }, { each: 'text' }, { param: 'list' }, { param: 'text' }, { each: 'list' }],
      stdin: { param: 'none' },
    });
    const problems = checkArguments(run, { properties: { text: { type: 'string' }, list: { type: 'array' } } });
    expect(problems.map(({ path }) => path)).to.deep.equal([
      'args.0.param',
      'args.1.each',
      'args.2.param',
      'stdin.param',
    ]);
  });
});
