import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { readAttempts, readResult } from '../../src/tasks/read-result.ts';
import { noopTask, openRooms, type Rooms } from './rooms.ts';

describe('results', () => {
  let rooms: Rooms;

  before(async () => {
    rooms = await openRooms();
  });

  after(() => rooms.close());

  async function resultWith(output: Buffer | null) {
    const [task] = await rooms.submit([noopTask]);
    const id = task?.task_id ?? '';
    const more = { output, output_bytes: 9, output_sha256: '00'.repeat(32), metadata: Buffer.from('{"exit_code":0}') };
    await rooms.end(await rooms.dispatch([id]), 'succeeded', more);
    return readResult(rooms.database, id);
  }

  it('gives JSON as JSON, text as text, and other bytes as base64', async () => {
    expect(await resultWith(Buffer.from('{"a":[1]}'))).to.deep.include({
      output: { a: [1] },
      output_encoding: 'json',
      metadata: { exit_code: 0 },
    });
    expect(await resultWith(Buffer.from('{"a":'))).to.deep.include({
      output: '{"a":',
      output_encoding: 'text',
      output_bytes: 9,
    });
    expect(await resultWith(Buffer.from([0xff, 0x00]))).to.deep.include({ output: '/wA=', output_encoding: 'base64' });
    expect(await resultWith(null)).to.deep.include({ output: null, output_encoding: null });
  });

  it('is not there before the end', async () => {
    const [task] = await rooms.submit([noopTask]);
    const failure = await readResult(rooms.database, task?.task_id ?? '').catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(AppError).and.to.include({ code: 'not_found', reason: 'not_finished' });
  });

  it('tells each attempt with its error and its manifest', async () => {
    const [task] = await rooms.submit([noopTask]);
    const id = task?.task_id ?? '';
    await rooms.end(await rooms.dispatch([id]), null, { error: { code: 'x', message: 'y' } });
    await rooms.dispatch([id]);
    const attempts = await readAttempts(rooms.database, id);
    expect(attempts.map(({ attempt, status, error }) => ({ attempt, status, error }))).to.deep.equal([
      { attempt: 1, status: 'failed', error: { code: 'x', message: 'y' } },
      { attempt: 2, status: null, error: null },
    ]);
    expect(attempts[0]?.manifest_sha256).to.match(/^[0-9a-f]{64}$/);
    expect(attempts[1]?.issued_at).to.match(/Z$/);
  });
});
