import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseTasks, readTaskInput } from '../../src/cli/task-input.ts';
import type { CliIo } from '../../src/cli/screen.ts';

const io = { stdin: { isTTY: true }, clock: { now: () => 0 } } as unknown as CliIo;

async function task(words: string[], flags: Parameters<typeof readTaskInput>[1] = {}): Promise<unknown> {
  return (await readTaskInput(words, flags, undefined, io)).tasks[0];
}

describe('a task on the command line', () => {
  it('takes values that are JSON as JSON and others as text', async () => {
    const words = [
      't.a',
      'port=8080',
      'host=10.0.0.1',
      'deep={"a": [1]}',
      'on=true',
      'none=null',
      'text="8080"',
      'empty=',
      'q=a=b',
    ];
    expect(await task(words)).to.deep.equal({
      tool: 't',
      action: 'a',
      payload: {
        port: 8080,
        host: '10.0.0.1',
        deep: { a: [1] },
        on: true,
        none: null,
        text: '8080',
        empty: '',
        q: 'a=b',
      },
    });
  });

  it('keeps digits that a number would lose', async () => {
    expect(await task(['t.a', 'id=12345678901234567890', 'zero=0080'])).to.have.deep.property('payload', {
      id: '12345678901234567890',
      zero: '0080',
    });
  });

  it('passes a member named __proto__ on for the server to judge', async () => {
    const { payload } = (await task(['t.a', '__proto__={"x":1}'])) as { payload: object };
    expect(JSON.stringify(payload)).to.equal('{"__proto__":{"x":1}}');
    expect(({} as Record<string, unknown>)['x']).to.equal(undefined);
  });

  it('takes every member of a submission from flags', async () => {
    const flags = {
      ...{ tool: 't', action: 'a', payload: '{"x":1}', priority: '80', runAt: '+1m', expiresAt: '+1h', timeout: '2m' },
      ...{
        maxAttempts: '5',
        source: 's',
        role: 'admin',
        affinity: 'k',
        constraint: ['dc=a'],
        tag: ['x', 'y'],
        label: ['l=1=2'],
      },
    };
    expect(await task([], flags)).to.deep.equal({
      ...{ tool: 't', action: 'a', payload: { x: 1 }, priority: 80, timeout_s: 120, retry: { max_attempts: 5 } },
      ...{
        run_at: '1970-01-01T00:01:00.000Z',
        expires_at: '1970-01-01T01:00:00.000Z',
        source: 's',
        required_role: 'admin',
      },
      ...{ affinity: 'k', constraints: { dc: 'a' }, tags: ['x', 'y'], labels: { l: '1=2' } },
    });
  });

  it('says what to write instead of what is wrong', async () => {
    const wrong: [string[], object, RegExp][] = [
      [[], {}, /There is no task/],
      [['connect'], {}, /no TOOL\.ACTION/],
      [['host=1'], {}, /no TOOL\.ACTION/],
      [[], { tool: 't' }, /Which action/],
      [['t.a'], { tool: 't' }, /Name the action once/],
      [['t.a', 'host'], {}, /key=value/],
      [['t.a', '=1'], {}, /key=value/],
      [['t.a', 'a=1', 'a=2'], {}, /"a" is given twice/],
      [['t.a', 'a=1'], { payload: '{}' }, /either/],
      [['t.a'], { payload: '[1]' }, /JSON object/],
      [['t.a'], { priority: 'high' }, /whole number/],
      [[], { tag: ['x'] }, /--tag is for a task given by flags/],
    ];
    for (const [words, flags, message] of wrong) {
      expect(await task(words, flags).catch(String), JSON.stringify([words, flags])).to.match(message);
    }
  });
});

describe('tasks in a file', () => {
  it('are one, a list, a batch, or one a line', () => {
    const one = { tool: 't', action: 'a' };
    expect(parseTasks(JSON.stringify(one, null, 2))).to.deep.equal({ tasks: [one], isSingle: true });
    expect(parseTasks(JSON.stringify([one]))).to.deep.equal({ tasks: [one], isSingle: false });
    expect(parseTasks(JSON.stringify({ tasks: [one], atomic: true }))).to.deep.equal({
      tasks: [one],
      isSingle: false,
      atomic: true,
    });
    expect(parseTasks(`${JSON.stringify(one)}\n\n${JSON.stringify(one)}\r\n`)).to.deep.equal({
      tasks: [one, one],
      isSingle: false,
    });
  });

  it('are refused with the line that is wrong', () => {
    expect(() => parseTasks('{"tool":"t"}\n{"tool":')).to.throw(/Line 2/);
    expect(() => parseTasks('7')).to.throw(/JSON object/);
    expect(() => parseTasks(' \n')).to.throw(/empty/);
  });
});
