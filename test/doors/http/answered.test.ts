import { expect } from 'chai';
import { after, before, beforeEach, describe, it } from 'mocha';
import type { Answered } from '../../../src/doors/http/answered.ts';
import { createHttpDoor, type HttpDoor } from '../../../src/doors/http/server.ts';
import { openDoor, type DoorFixture } from './fixture.ts';

describe('calls told to the metrics', () => {
  let fixture: DoorFixture;
  let door: HttpDoor;
  let url: string;
  let told: Answered[];
  /** Resolves when the next call is told of. */
  let next: () => Promise<Answered>;

  before(async () => {
    fixture = await openDoor();
    let take: (answered: Answered) => void = () => undefined;
    next = () => new Promise((resolve) => (take = resolve));
    door = createHttpDoor({
      services: fixture.services,
      listen: { host: '127.0.0.1', port: 0 },
      version: '0.0.0',
      onFailure: () => undefined,
      onAnswered: (answered) => {
        told.push(answered);
        take(answered);
      },
    });
    await door.listen();
    url = door.address()?.url ?? '';
  });

  after(async () => {
    await door.close();
    await fixture.close();
  });

  beforeEach(() => {
    told = [];
  });

  it('name the route by its pattern, never by what the caller wrote', async () => {
    const token = await fixture.token({ roles: ['viewer'] });
    for (const [method, path, status, route] of [
      ['GET', '/api/v1/health', '200', '/api/v1/health'],
      ['GET', '/api/v1/tasks/00000000-0000-7000-8000-000000000000', '404', '/api/v1/tasks/{task_id}'],
      ['GET', '/api/v1/tasks?limit=1', '200', '/api/v1/tasks'],
      ['HEAD', '/api/v1/health', '200', '/api/v1/health'],
      ['DELETE', '/api/v1/health', '405', '/api/v1/health'],
      ['GET', '/api/v1/no-such-path-of-mine', '404', 'none'],
    ] as const) {
      const answered = next();
      await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${token}` } });
      const { seconds, ...rest } = await answered;
      expect(rest, path).to.deep.equal({ method, route, status });
      expect(seconds).to.be.within(0, 5);
    }
  });

  it('name what was refused before its route was served, and no method that no route takes', async () => {
    const answered = next();
    await fetch(`${url}/api/v1/whoami`);
    expect(await answered).to.include({ method: 'GET', route: '/api/v1/whoami', status: '401' });
    const other = next();
    await fetch(`${url}/api/v1/health`, { method: 'PROPFIND' });
    expect(await other).to.include({ method: 'OTHER', route: '/api/v1/health', status: '405' });
  });

  it('are told once, and as aborted where the caller went away before an answer', async () => {
    const token = await fixture.token({ roles: ['admin'] });
    const [task] = await fixture.submit([{ tool: 'noop', action: 'run', payload: {} }]);
    const away = new AbortController();
    const answered = next();
    const call = fetch(`${url}/api/v1/tasks/${task!.task_id}?wait_s=30`, {
      headers: { authorization: `Bearer ${token}` },
      signal: away.signal,
    }).catch((error: unknown) => error);
    setTimeout(() => {
      away.abort();
    }, 100);
    await call;
    expect(await answered).to.include({ route: '/api/v1/tasks/{task_id}', status: 'aborted' });
    expect(told).to.have.length(1);
  });
});
