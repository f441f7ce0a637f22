import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { WritClient } from '../../src/client/client.ts';
import { openDoor, type DoorFixture } from '../doors/http/fixture.ts';
import { run, type Ran } from './run.ts';

const noopTask = { tool: 'noop', action: 'run' };

describe('the command line against the real API', () => {
  let door: DoorFixture;
  let token: string;
  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['admin'], name: 'cli' });
  });
  after(() => door.close());

  const writ = (args: string[], stdin?: string): Promise<Ran> =>
    run(args, { environment: { WRIT_URL: door.url, WRIT_TOKEN: token }, ...(stdin === undefined ? {} : { stdin }) });

  it('submits, shows, lists, explains and cancels a task', async () => {
    const submitted = await writ([
      'submit',
      'noop.run',
      'output=hello',
      '--tag',
      'cli',
      '--label',
      'team=blue',
      '--priority',
      '70',
    ]);
    expect(submitted.code, submitted.stderr).to.equal(0);
    const id = submitted.stdout.trim();
    const task = JSON.parse((await writ(['task', 'get', id, '--json'])).stdout) as Record<string, unknown>;
    expect(task).to.deep.include({
      task_id: id,
      state: 'queued',
      priority: 70,
      tags: ['cli'],
      labels: { team: 'blue' },
    });
    const filters = [
      '--state',
      'queued',
      '--tag',
      'cli',
      '--label',
      'team=blue',
      '--requested-by',
      'cli',
      '--tool',
      'noop',
    ];
    expect((await writ(['task', 'list', ...filters])).stdout).to.include(id);
    expect((await writ(['task', 'explain', id])).stdout).to.include('no_node');
    expect((await writ(['task', 'attempts', id])).code).to.equal(0);
    expect((await writ(['task', 'timeline', id])).code).to.equal(0);
    expect((await writ(['task', 'result', id])).stderr).to.include('404 not_finished');
    const cancelled = await writ(['task', 'cancel', id, '--reason', 'enough', '--json']);
    expect(JSON.parse(cancelled.stdout)).to.include({ task_id: id, state: 'cancelled' });
    expect((await writ(['task', 'wait', id])).code).to.equal(1);
    expect((await writ(['task', 'cancel', id])).stderr).to.include('409 already_ended');
    expect((await writ(['task', 'redrive', id])).stdout).to.match(/queued/);
    expect((await writ(['task', 'dead-letters'])).code).to.equal(0);
  });

  it('submits many, all or none, and says which are wrong', async () => {
    const lines = [noopTask, noopTask, { ...noopTask, tool: 'nope' }].map((task) => JSON.stringify(task)).join('\n');
    const some = await writ(['submit'], lines);
    expect(some.code).to.equal(4);
    expect(some.stderr).to.include('task 3 refused: unknown_tool').and.include('2 accepted, 1 refused');
    const none = await writ(['submit', '--atomic'], lines);
    expect(none.stderr).to.include('422 batch_rejected').and.include('tasks.2');
    expect((await writ(['submit', '--dry-run', '--json'], lines)).stdout.trim().split('\n')).to.have.length(3);
  });

  it('walks more than one page', async () => {
    const client = new WritClient({ url: door.url, token });
    await client.submitBatch(Array.from({ length: 1100 }, () => ({ ...noopTask, source: 'pages' })));
    const ids = new Set<string>();
    for await (const { task_id } of client.list({ source: 'pages' })) ids.add(task_id);
    expect(ids.size).to.equal(1100);
  });

  it('makes the same task once for one key', async () => {
    const args = ['submit', 'noop.run', '--idempotency-key', 'once', '--json'];
    const [first, second] = [await writ(args), await writ(args)];
    expect(JSON.parse(first.stdout)).to.have.property(
      'task_id',
      (JSON.parse(second.stdout) as { task_id: string }).task_id,
    );
  });

  it('creates, uses, lists and revokes a token, and sets scopes', async () => {
    const scope = JSON.stringify({ name: 'lab', tools: ['noop.*'], targets: [] });
    expect((await writ(['scope', 'set', '-'], scope)).code).to.equal(0);
    expect((await writ(['scope', 'list'])).stdout).to.match(/lab +noop\.\*/);
    const { stdout, stderr, code } = await writ([
      'token',
      'create',
      'ci',
      '--role',
      'operator',
      '--scope',
      'lab',
      '--json',
    ]);
    expect(code, stderr).to.equal(0);
    const created = JSON.parse(stdout) as { token: string; token_id: string };
    const asCi = { environment: { WRIT_URL: door.url, WRIT_TOKEN: created.token } };
    expect((await run(['whoami'], asCi)).stdout).to.match(/name +ci\n(.*\n)*scope +lab/);
    const refused = await run(['submit', 'tcp.connect', 'host=127.0.0.1', 'port=1'], asCi);
    expect(refused.stderr).to.include('403 scope_tool');
    expect((await writ(['token', 'list'])).stdout)
      .to.include(created.token_id)
      .and.not.include(created.token);
    expect((await writ(['token', 'revoke', created.token_id])).code).to.equal(0);
    expect((await run(['whoami'], asCi)).code).to.equal(4);
  });

  it('lists tools and nodes, and searches the audit log', async () => {
    expect((await writ(['tools'])).stdout).to.include('noop.run');
    expect((await writ(['tools', 'show', 'tcp'])).stdout).to.include('host=string (required)');
    expect((await writ(['nodes'])).code).to.equal(0);
    const client = new WritClient({ url: door.url, token });
    expect(await client.ready()).to.have.property('ready', true);
    await client.health();
    for await (const record of client.auditRecords({ type: 'token.create' }, { limit: 1 }))
      expect(record).to.have.property('seq');
  });
});
