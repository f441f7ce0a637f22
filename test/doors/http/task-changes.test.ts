import { expect } from 'chai';
import { describe, it } from 'mocha';
import { TaskChanges } from '../../../src/doors/http/task-changes.ts';
import { AppError } from '../../../src/domain/error.ts';

const longMs = 60_000;
const never = new AbortController().signal;

describe('waiting for a task to change', () => {
  it('ends at a change of that task, and of no other', async () => {
    const changes = new TaskChanges();
    const watch = changes.watch('a');
    let isWoken = false;
    const woken = watch.next(longMs, never).then(() => (isWoken = true));
    changes.notify(['b']);
    await Promise.resolve();
    expect(isWoken).to.equal(false);
    changes.notify(['b', 'a']);
    await woken;
  });

  it('misses nothing between its beginning and the first wait', async () => {
    const changes = new TaskChanges();
    const watch = changes.watch('a');
    changes.notify(['a']);
    await watch.next(longMs, never);
  });

  it('wakes every call that waits for a task, and all at the end', async () => {
    const changes = new TaskChanges();
    const waits = ['a', 'a', 'b'].map((id) => changes.watch(id).next(longMs, never));
    changes.notify(['a']);
    await Promise.all(waits.slice(0, 2));
    changes.notifyAll();
    await waits[2];
  });

  it('ends when the caller goes away, before or while it waits', async () => {
    const changes = new TaskChanges();
    const gone = new AbortController();
    const waiting = changes.watch('a').next(longMs, gone.signal);
    gone.abort();
    await waiting;
    await changes.watch('a').next(longMs, gone.signal);
  });

  it('refuses more calls than it holds, and has room again when one stops', () => {
    const changes = new TaskChanges();
    const watches = Array.from({ length: 2000 }, (_, i) => changes.watch(i.toString()));
    const refusal = (): string => {
      try {
        changes.watch('x').stop();
        return 'none';
      } catch (error) {
        return error instanceof AppError ? error.reason : 'other';
      }
    };
    expect(refusal()).to.equal('too_many_waiting');
    watches[0]?.stop();
    watches[0]?.stop();
    expect(refusal()).to.equal('none');
  });
});
