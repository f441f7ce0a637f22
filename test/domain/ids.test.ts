import { expect } from 'chai';
import { describe, it } from 'mocha';
import { newId, type TaskId } from '../../src/domain/ids.ts';

describe('ids', () => {
  const ids = Array.from({ length: 5000 }, () => newId<TaskId>());

  it('are UUIDv7 of the time at which they were made', () => {
    const before = Date.now();
    const id = newId<TaskId>();
    expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseInt(id.replaceAll('-', '').slice(0, 12), 16)).to.be.within(before - 1, Date.now() + 10);
  });

  it('ascend, and none comes twice', () => {
    expect(ids).to.deep.equal(ids.toSorted());
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('end in random numbers that do not come again when those at hand are used up', () => {
    const ends = new Set(ids.map((id) => id.slice(-8)));
    expect(ends.size).to.be.above(ids.length - 10);
  });
});
