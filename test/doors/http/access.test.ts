import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { openDoor, type DoorFixture } from './fixture.ts';

describe('tokens and scopes over HTTP', () => {
  let door: DoorFixture;
  let admin: string;
  let keeper: string;

  before(async () => {
    door = await openDoor();
    admin = await door.token({ roles: ['admin'], name: 'admin' });
    keeper = await door.token({ roles: ['security-admin'], name: 'keeper' });
  });

  after(() => door.close());

  const wanted = { name: 'ci', kind: 'svc', roles: ['operator'], expires_in_s: 600 };

  it('shows a token once, and never in lists, answers again or the database', async () => {
    const headers = { 'Idempotency-Key': 'token-1' };
    const made = await door.call('POST', '/api/v1/tokens', { token: admin, body: wanted, headers });
    expect(made.status).to.equal(201);
    expect(made.body.token).to.match(/^writ_svc_[0-9A-Za-z]{36}$/);
    const again = await door.call('POST', '/api/v1/tokens', { token: admin, body: wanted, headers });
    expect([again.status, again.body.token_id, again.body.token]).to.deep.equal([201, made.body.token_id, null]);
    const list = await door.call('GET', '/api/v1/tokens', { token: admin });
    expect(list.body.tokens.map((token) => token.token_id)).to.include(made.body.token_id);
    expect(list.text).not.to.include(made.body.token);
    for (const table of ['idempotency_keys', 'tokens', 'audit_inbox']) {
      const rows = await door.database.query<{ text: string }>(
        `select encode(convert_to(t::text, 'UTF8'), 'escape') as text from ${table} t`,
      );
      for (const { text } of rows.rows) expect(text).not.to.include(made.body.token);
    }
    const answers = await door.database.query<{ answer: Buffer }>('select answer from idempotency_keys');
    for (const { answer } of answers.rows) expect(answer.toString()).not.to.include(made.body.token);
  });

  it('pages through tokens', async () => {
    const first = await door.call('GET', '/api/v1/tokens?limit=1', { token: admin });
    const second = await door.call('GET', `/api/v1/tokens?limit=1&cursor=${first.body.next_cursor}`, {
      token: admin,
    });
    expect([second.body.tokens[0]?.token_id, first.body.tokens[0]?.token_id]).to.satisfy(
      (ids: string[]) => (ids[0] ?? 'z') < (ids[1] ?? ''),
    );
    const records = (await door.records()).filter(({ type }) => type === 'token.read');
    expect(records.length).to.be.at.least(2);
  });

  it('lets nobody grant what they do not hold, and records the try', async () => {
    const answer = await door.call('POST', '/api/v1/tokens', {
      token: keeper,
      body: { ...wanted, name: 'mine', roles: ['operator'] },
    });
    expect([answer.status, answer.body.code]).to.deep.equal([403, 'grant_exceeds_own']);
    expect((await door.records()).at(-1)).to.deep.include({
      type: 'token.create',
      outcome: 'deny',
      reason: 'grant_exceeds_own',
    });
    const unknown = await door.call('POST', '/api/v1/tokens', { token: admin, body: { ...wanted, roles: ['god'] } });
    expect([unknown.status, unknown.body.code]).to.deep.equal([400, 'unknown_role']);
    const odd = await door.call('POST', '/api/v1/tokens', {
      token: admin,
      body: { ...wanted, permissions: ['tasks:submit'] },
    });
    expect(odd.body.code).to.equal('invalid_body');
  });

  it('revokes, twice without complaint, and knows no others', async () => {
    const made = await door.call('POST', '/api/v1/tokens', { token: admin, body: wanted });
    const path = `/api/v1/tokens/${made.body.token_id}`;
    expect((await door.call('DELETE', path, { token: admin })).status).to.equal(204);
    expect((await door.call('DELETE', path, { token: admin })).status).to.equal(204);
    expect((await door.call('DELETE', '/api/v1/tokens/x', { token: admin })).status).to.equal(404);
    expect((await door.records()).filter(({ type }) => type === 'token.revoke')).to.have.length(1);
  });

  it('writes a scope, which binds the next submission', async () => {
    const scope = { name: 'lab', tools: ['noop.*'], targets: [] };
    const put = await door.call('PUT', '/api/v1/scopes/lab', { token: keeper, body: scope });
    expect([put.status, put.body]).to.deep.equal([200, scope]);
    expect((await door.call('GET', '/api/v1/scopes', { token: keeper })).body.scopes).to.deep.equal([scope]);
    const bound = await door.token({ roles: ['operator'], scope: 'lab' });
    const task = { tool: 'noop', action: 'run' };
    expect((await door.call('POST', '/api/v1/tasks', { token: bound, body: task })).status).to.equal(202);
    await door.call('PUT', '/api/v1/scopes/lab', { token: keeper, body: { ...scope, tools: ['dns.*'] } });
    const refused = await door.call('POST', '/api/v1/tasks', { token: bound, body: task });
    expect([refused.status, refused.body.code]).to.deep.equal([403, 'scope_tool']);
  });

  it('refuses scopes under another name, of another form, and by somebody who is bound', async () => {
    const scope = { name: 'other', tools: ['*'], targets: ['*'] };
    expect((await door.call('PUT', '/api/v1/scopes/lab', { token: keeper, body: scope })).body.code).to.equal(
      'invalid_body',
    );
    const bad = await door.call('PUT', '/api/v1/scopes/other', {
      token: keeper,
      body: { ...scope, targets: ['0177.0.0.1'] },
    });
    expect([bad.body.code, bad.body.errors[0]?.path]).to.deep.equal(['invalid_body', 'targets.0']);
    const bound = await door.token({ roles: ['security-admin'], scope: 'lab' });
    const refused = await door.call('PUT', '/api/v1/scopes/other', { token: bound, body: scope });
    expect([refused.status, refused.body.code]).to.deep.equal([403, 'grant_exceeds_own']);
  });
});
