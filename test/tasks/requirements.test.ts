/** Requirements: each combination of tool, digest and constraints has one number. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { Requirements } from '../../src/tasks/requirements.ts';
import { openRooms, type Rooms } from './rooms.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe('requirements', function () {
  this.timeout(20_000);
  let rooms: Rooms;

  beforeEach(async () => {
    rooms = await openRooms();
  });

  afterEach(async () => {
    await rooms.close();
  });

  it('are told apart in whatever order they are wanted, and known again', async () => {
    const wanted = [
      { tool: 'a', tool_digest: digest, constraints: {} },
      { tool: 'a', tool_digest: digest, constraints: { rack: '7' } },
      { tool: 'a', tool_digest: digest, constraints: {} },
      { tool: 'a', tool_digest: digest.replace('a', 'b'), constraints: {} },
      { tool: 'b', tool_digest: digest, constraints: {} },
      { tool: 'b', tool_digest: digest, constraints: { rack: '7', row: '1' } },
      { tool: 'b', tool_digest: digest, constraints: { row: '1', rack: '7' } },
    ];
    const requirements = new Requirements(rooms.database);
    const numbers = await requirements.intern(wanted);
    const first = numbers.map((number) => numbers.indexOf(number));
    expect(first).to.deep.equal([0, 1, 0, 3, 4, 5, 5]);
    for (const [i, { tool, constraints }] of wanted.entries()) {
      expect(requirements.find(numbers[i] ?? 0)).to.deep.include({ tool, constraints });
    }
    expect(await new Requirements(rooms.database).intern([...wanted].reverse())).to.deep.equal([...numbers].reverse());
  });
});
