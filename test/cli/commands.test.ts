import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { problem, startScriptedServer, taskBody, type ScriptedServer } from '../client/scripted-server.ts';
import { run, type Ran, type RunOptions } from './run.ts';

const hostile = 'x\u001b[2J\u202e';

describe('commands that talk to a server', () => {
  let server: ScriptedServer;
  afterEach(() => server.close());

  async function serve(
    answer: Parameters<typeof startScriptedServer>[0],
  ): Promise<(...args: string[]) => Promise<Ran>> {
    server = await startScriptedServer(answer);
    return (...args) => writ(args);
  }

  const writ = (args: string[], options: RunOptions = {}): Promise<Ran> =>
    run(args, {
      ...options,
      environment: { WRIT_URL: server.url, WRIT_TOKEN: 'secret-token', ...options.environment },
    });

  it('submit a task from the short form and print its id alone on stdout', async () => {
    const ask = await serve(() => ({ status: 202, body: taskBody('id-1') }));
    const { code, stdout, stderr } = await ask('submit', 'tcp.connect', 'host=127.0.0.1', 'port=1', '--priority', '80');
    expect({ code, stdout }).to.deep.equal({ code: 0, stdout: 'id-1\n' });
    expect(stderr).to.include('writ task get id-1');
    expect(server.asked[0]?.body).to.deep.equal({
      tool: 'tcp',
      action: 'connect',
      payload: { host: '127.0.0.1', port: 1 },
      priority: 80,
    });
  });

  it('submit --wait shows the result and ends by what became of the task', async () => {
    const ends = { succeeded: 0, failed: 1, cancelled: 1, expired: 1 };
    for (const [state, exit] of Object.entries(ends)) {
      const ask = await serve(({ url, method }) => {
        if (method === 'POST') return { status: 202, body: taskBody('id-1') };
        if (!url.endsWith('/result')) return { body: taskBody('id-1', { state }) };
        return { body: { ...result, state, output: { text: hostile }, output_encoding: 'json' } };
      });
      const { code, stdout } = await ask('submit', 'noop.run', '--wait');
      expect(code, state).to.equal(exit);
      expect(stdout)
        .to.match(new RegExp(`^task +id-1\nstate +${state}\n`))
        .and.include('  "text": "x\\u001b[2J\\u202e"');
      await server.close();
    }
  });

  it('submit --wait ends with 2 when the time is up first', async () => {
    const ask = await serve(() => ({ status: 202, body: taskBody('id-1') }));
    const { code, stderr } = await ask('submit', 'noop.run', '--wait', '--wait-timeout', '0');
    expect(code).to.equal(2);
    expect(stderr).to.include('writ task wait id-1');
  });

  it('submit many from standard input, wait for them, and tell which are refused', async () => {
    await serve(({ url, body }) => {
      if (!url.endsWith('/batch')) return { body: taskBody('id-a', { state: 'succeeded' }) };
      const results = body?.tasks?.map(({ tool }) =>
        tool === 'a'
          ? { task: taskBody('id-a') }
          : { error: problem(400, 'unknown_tool', `There is no tool ${hostile}.`).body },
      );
      return { status: 202, body: { results } };
    });
    const stdin = '{"tool":"a","action":"run"}\n{"tool":"b","action":"run"}\n';
    const human = await writ(['submit', '--wait'], { stdin });
    expect(human.code).to.equal(4);
    expect(human.stdout).to.match(/TASK.*\nid-a +succeeded/);
    expect(human.stderr)
      .to.include('task 2 refused: unknown_tool: There is no tool x\\u001b[2J\\u202e.')
      .and.include('1 accepted, 1 refused');
    const { stdout } = await writ(['submit', '--json'], { stdin });
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => Object.keys(JSON.parse(line) as object)[0]),
    ).to.deep.equal(['task', 'error']);
  });

  it('submit --dry-run only asks for decisions', async () => {
    const accept = { decision: 'accept', task_sha256: '0', candidate_nodes: ['n'], free_nodes: [] };
    const ask = await serve(() => ({ body: { results: [accept] } }));
    const { code, stdout } = await ask('submit', 'noop.run', '--dry-run');
    expect(code).to.equal(0);
    expect(stdout).to.match(/1 +accept/);
    expect(server.asked.map(({ url }) => url)).to.deep.equal(['/api/v1/tasks/plan']);
  });

  it('list tasks as a table with relative times, coloured on a terminal only', async () => {
    const task = taskBody('id-1', { state: 'failed', requested_by: hostile, created_at: '2026-01-01T00:30:00.000Z' });
    await serve(() => ({ body: { tasks: [task], next_cursor: null } }));
    const plain = await writ(['task', 'list', '--state', 'failed', '--label', 'a=b=c']);
    expect(plain.stdout)
      .to.match(/^TASK +STATE +ACTION/)
      .and.match(/id-1 +failed +noop\.run +50 +x\\u001b\[2J\\u202e +0 +30m ago +-/);
    expect(new URL(server.asked[0]?.url ?? '', 'http://a').search).to.equal('?state=failed&label.a=b%3Dc&limit=50');
    const colored = await writ(['task', 'list'], { isTerminal: true });
    expect(colored.stdout).to.include('\u001b[31mfailed');
    const environment = { NO_COLOR: '1' };
    expect((await writ(['task', 'list'], { isTerminal: true, environment })).stdout).to.not.include('\u001b');
  });

  it('--json gives one document, or one a line, and nothing that steers a terminal', async () => {
    const tasks = [taskBody('id-1', { reason: hostile }), taskBody('id-2')];
    const ask = await serve(({ url }) => ({ body: url.includes('?') ? { tasks, next_cursor: null } : tasks[0] }));
    const list = await ask('task', 'list', '--json');
    expect(
      list.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).to.deep.equal(tasks);
    const one = await ask('task', 'get', 'id-1', '--json');
    expect(JSON.parse(one.stdout)).to.deep.equal(tasks[0]);
    for (const { stdout, stderr } of [list, one]) {
      expect(stdout)
        .to.not.match(/\p{Cf}/u)
        .and.not.include('\u001b');
      expect(stderr).to.equal('');
    }
  });

  it('tell a refusal with its code, members and what to do next, on stderr', async () => {
    const answer = problem(403, 'scope_target', `${hostile} is outside.`);
    const ask = await serve(() => ({
      ...answer,
      body: { ...(answer.body as object), errors: [{ path: 'payload.host', message: 'no' }] },
    }));
    const { code, stdout, stderr } = await ask('submit', 'noop.run');
    expect({ code, stdout }).to.deep.equal({ code: 4, stdout: '' });
    expect(stderr).to.equal(
      'writ: x\\u001b[2J\\u202e is outside.\n  payload.host: no\n"writ whoami" shows your roles and scope.\n' +
        '(403 scope_target, request request-1; docs/errors.md explains the code)\n',
    );
    const json = JSON.parse((await ask('submit', 'noop.run', '--json')).stderr) as { error: object };
    expect(json.error).to.include({ code: 'scope_target', status: 403, request_id: 'request-1' });
  });

  it('end with 5 where the server cannot answer, or is not there', async () => {
    const ask = await serve(() => problem(500, 'internal'));
    expect((await ask('whoami')).code).to.equal(5);
    await server.close();
    const { code, stderr } = await ask('whoami');
    expect(code).to.equal(5);
    expect(stderr).to.include('ECONNREFUSED').and.include('writ dev');
  });

  it('act on one task after the other and show what was done before the first refusal', async () => {
    const ask = await serve(({ url }) =>
      url.includes('id-2') ? problem(409, 'already_ended') : { status: 202, body: taskBody('id-1') },
    );
    const { code, stdout } = await ask('task', 'cancel', 'id-1', 'id-2', 'id-3', '--reason', 'wrong');
    expect(code).to.equal(4);
    expect(stdout).to.match(/\nid-1 /);
    expect(server.asked.map(({ url }) => url)).to.deep.equal([
      '/api/v1/tasks/id-1/cancel',
      '/api/v1/tasks/id-2/cancel',
    ]);
    expect(server.asked[0]?.body).to.deep.equal({ reason: 'wrong' });
  });

  it('wait for several tasks and fail where one did', async () => {
    const ask = await serve(({ url }) => ({
      body: taskBody('x', { state: url.includes('id-2') ? 'failed' : 'succeeded' }),
    }));
    expect((await ask('task', 'wait', 'id-1', 'id-3')).code).to.equal(0);
    expect((await ask('task', 'wait', 'id-1', 'id-2', '--json')).code).to.equal(1);
  });

  it('explain, attempts, timeline and dead letters are laid out for people', async () => {
    const reasons = [{ code: 'no_node', detail: 'No node has it.', node_id: 'n-1' }];
    const attempt = {
      attempt: 1,
      status: 'failed',
      reason: null,
      node_id: 'n-1',
      issued_at: null,
      started_at: null,
      ended_at: null,
    };
    const entry = {
      seq: 7,
      ts: 't',
      type: 'task.cancel',
      outcome: 'success',
      reason: null,
      actor: 'me',
      attempt: null,
      status: null,
      note: hostile,
    };
    const error = { code: 'refused', message: 'connection refused' };
    const ask = await serve(({ url }) => {
      if (url.endsWith('/explain')) return { body: { task_id: 'id-1', state: 'queued', reasons, candidate_nodes: 0 } };
      if (url.endsWith('/attempts')) return { body: { attempts: [{ ...attempt, error }] } };
      if (url.endsWith('/timeline')) return { body: { timeline: [entry] } };
      return { body: { dead_letters: [{ task: taskBody('id-1'), error }], next_cursor: null } };
    });
    expect((await ask('task', 'explain', 'id-1')).stdout).to.match(/no_node +No node has it\. Node n-1\./);
    expect((await ask('task', 'attempts', 'id-1')).stdout).to.match(
      /1 +failed +n-1 +- +- +refused: connection refused/,
    );
    expect((await ask('task', 'timeline', 'id-1')).stdout).to.match(
      /7 +t +task\.cancel +success +me +x\\u001b\[2J\\u202e/,
    );
    expect((await ask('task', 'dead-letters')).stdout).to.match(/id-1 .*refused: connection refused/);
  });

  it('settle only in ways that there are', async () => {
    const ask = await serve(() => ({ body: taskBody('id-1', { state: 'succeeded' }) }));
    expect((await ask('task', 'settle', 'id-1', '--as', 'done', '--reason', 'x')).code).to.equal(3);
    expect((await ask('task', 'settle', 'id-1', '--as', 'succeeded', '--reason', 'seen')).code).to.equal(0);
    expect(server.asked.map(({ body }) => body as unknown)).to.deep.equal([{ as: 'succeeded', reason: 'seen' }]);
  });

  it('list tools and show the parameters of one', async () => {
    const parameters = {
      properties: { host: { type: 'string', description: hostile }, mode: { enum: ['a', 'b'] } },
      required: ['host'],
    };
    const actions = [
      {
        action: 'connect',
        description: 'Connects.',
        parameters,
        required_role: 'operator',
        effects: 'none',
        timeout_s: 5,
      },
    ];
    const tool = { tool: 'tcp', version: '1.0.0', digest: 'sha256:0', description: 'Ports.', actions };
    const ask = await serve(({ url }) => ({ body: url.endsWith('/tcp') ? tool : { tools: [tool] } }));
    expect((await ask('tools')).stdout).to.match(/tcp\.connect +1\.0\.0 +operator +none +Connects\./);
    const { stdout } = await ask('tools', 'show', 'tcp.connect');
    expect(stdout).to.include('host=string (required)  x\\u001b[2J\\u202e').and.include('mode=a|b');
    expect((await ask('tools', 'show', 'tcp.listen')).code).to.equal(3);
  });

  it('show who the caller is, and the nodes', async () => {
    const who = {
      id: 'me',
      kind: 'service',
      roles: ['operator'],
      permissions: [],
      scope: null,
      credential_id: 'c',
      expires_at: null,
    };
    const node = {
      id: 'n-1',
      name: 'a',
      status: 'active',
      slots: 4,
      labels: { dc: 'x' },
      last_heartbeat: '2026-01-01T00:59:58.000Z',
    };
    const ask = await serve(({ url }) => ({
      body: url.includes('nodes') ? { nodes: [node], next_cursor: null } : who,
    }));
    expect((await ask('whoami')).stdout).to.match(/^name +me\nkind +service\n/);
    expect((await ask('nodes')).stdout).to.match(/n-1 +a +active +4 +2\.0s ago +dc=x/);
  });

  it('never show the token that they use', async () => {
    const ask = await serve(() => problem(401, 'unauthenticated'));
    for (const args of [['whoami'], ['task', 'list', '--json'], ['token', 'list']]) {
      const { code, stdout, stderr } = await ask(...args);
      expect(code).to.equal(4);
      expect(stdout + stderr).to.not.include('secret-token');
    }
  });
});

const result = {
  task_id: 'id-1',
  status: 'succeeded',
  reason: null,
  attempt: 1,
  started_at: '2026-01-01T00:00:00.000Z',
  ended_at: '2026-01-01T00:00:01.000Z',
  output_sha256: null,
  output_bytes: null,
  error: null,
  metadata: null,
};
