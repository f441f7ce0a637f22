import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { AuditRecord } from '../../../src/proof/record.ts';
import { noopTask, openDoor, withDoor, type DoorFixture } from './fixture.ts';

describe('the audit log over HTTP', () => {
  let door: DoorFixture;
  let token: string;
  let taskId: string;

  before(async () => {
    door = await openDoor();
    token = await door.token({ roles: ['auditor'], name: 'auditor' });
    taskId = (await door.submit([noopTask, noopTask]))[0]?.task_id ?? '';
    await door.dispatch([taskId]);
    await door.sequence();
  });

  after(() => door.close());

  const search = async (query: string): Promise<AuditRecord[]> => {
    const answer = await door.call('GET', `/api/v1/audit/records${query}`, { token });
    expect(answer.status, answer.text).to.equal(200);
    return answer.body.records;
  };

  it('finds records by what they say', async () => {
    expect((await search('?type=task.submit')).map(({ type }) => type)).to.deep.equal(['task.submit']);
    expect(await search('?type=task.submit&outcome=deny')).to.deep.equal([]);
    expect((await search('?actor=root')).every(({ actor }) => actor?.id === 'root')).to.equal(true);
    expect((await search('?seq=0')).map(({ seq }) => seq)).to.deep.equal([0]);
    expect(await search('?to=2001-01-01T00:00:00Z')).to.deep.equal([]);
    expect((await search('?from=2001-01-01T00:00:00Z')).length).to.be.greaterThan(2);
  });

  it('finds every record that tells of a task, also those that tell of many', async () => {
    expect((await search(`?target=${taskId}`)).map(({ type }) => type)).to.deep.equal([
      'manifest.issue',
      'task.submit',
    ]);
    const [issue] = await search('?type=manifest.issue');
    const node = issue?.target !== undefined && 'id' in issue.target ? issue.target.id : '';
    expect((await search(`?target=${node}`)).map(({ type }) => type)).to.deep.equal(['manifest.issue']);
  });

  it('goes on by cursors, newest first', async () => {
    const first = await door.call('GET', '/api/v1/audit/records?limit=2', { token });
    const second = await door.call('GET', `/api/v1/audit/records?limit=2&cursor=${first.body.next_cursor}`, {
      token,
    });
    const seqs = [...first.body.records, ...second.body.records].map(({ seq }) => seq);
    expect(seqs).to.deep.equal([...seqs].sort((a, b) => b - a));
    expect(new Set(seqs).size).to.equal(seqs.length);
  });

  it('writes down who read what, before it answers', async () => {
    await search('?type=task.submit&from=2001-01-01T00:00:00Z&limit=3');
    const read = (await door.records()).at(-1);
    expect(read).to.deep.include({
      type: 'audit.read',
      outcome: 'allow',
      data: { type: 'task.submit', from: '2001-01-01T00:00:00.000Z' },
    });
    expect(read?.actor?.id).to.equal('auditor');
    expect(read?.authz?.permission).to.equal('audit:read');
  });

  it('gives one record with its exact bytes', async () => {
    const answer = await door.call('GET', '/api/v1/audit/records/1', { token });
    expect(answer.body.record.seq).to.equal(1);
    expect(JSON.parse(answer.body.line)).to.deep.equal(answer.body.record);
    for (const seq of ['999999', '-1', '1.0', 'x', '99999999999999999999']) {
      const none = await door.call('GET', `/api/v1/audit/records/${seq}`, { token });
      expect([none.status, none.body.code], seq).to.deep.equal([404, 'record_not_found']);
    }
  });

  it('gives proofs of a record and of a task', async () => {
    const one = await door.call('GET', '/api/v1/audit/proof?seq=3', { token });
    expect([one.status, one.text]).to.deep.equal([200, 'proof of 3\n']);
    const task = await door.call('GET', `/api/v1/audit/proof?task=${taskId}`, { token });
    expect(task.body.proofs.map(({ type }) => type)).to.deep.equal(['task.submit', 'manifest.issue']);
    for (const query of ['', `?seq=1&task=${taskId}`]) {
      expect((await door.call('GET', `/api/v1/audit/proof${query}`, { token })).body.code).to.equal(
        'invalid_parameter',
      );
    }
  });

  it('streams an export and records it', async () => {
    const answer = await door.call('GET', '/api/v1/audit/export?from=1', { token });
    expect(answer.text).to.equal('first second');
    expect(answer.headers.get('content-type')).to.equal('application/x-tar');
    expect((await door.records()).at(-1)).to.deep.include({ type: 'audit.export', data: { from: 1 } });
  });

  it('serves tiles by their paths', async () => {
    expect((await door.call('GET', '/api/v1/audit/log/tile/0/000', { token })).status).to.equal(200);
    for (const path of ['0/001', '0/x001/000', 'entries/x001/x002/000', '0/..%2f000']) {
      const none = await door.call('GET', `/api/v1/audit/log/tile/${path}`, { token });
      expect([none.status, none.body.code], path).to.deep.equal([404, 'tile_not_found']);
    }
  });

  it('shows checkpoint and tiles to anybody where that is configured, and nothing more', async () => {
    await withDoor({ services: { isAuditLogPublic: true } }, async (open) => {
      expect((await open.call('GET', '/api/v1/audit/log/checkpoint')).status).to.equal(200);
      expect((await open.call('GET', '/api/v1/audit/log/tile/0/000')).status).to.equal(200);
      expect((await open.call('GET', '/api/v1/audit/records')).status).to.equal(401);
    });
  });
});
