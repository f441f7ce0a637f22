/** What a node has in hand, compared by one hash in each heartbeat. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { eventually } from './eventually.ts';
import { recordBeats } from './recorded-beats.ts';
import { startRig, type Rig } from './rig.ts';

describe('the attempts that a node has in hand', function () {
  this.timeout(60_000);
  let rig: Rig;

  beforeEach(async () => {
    rig = await startRig({ flags: { heartbeat_interval_s: 0.2 } });
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  it('are listed once after they have changed, and told by their hash from then on', async () => {
    const { beats, wrapLink } = recordBeats();
    await rig.addNode('alpha', { slots: 3, wrapLink });
    const operator = await rig.principal('integration', ['operator']);
    // Three run, and as many wait in the node behind them.
    await rig.submit(operator, Array<object>(6).fill({ tool: 'noop', action: 'run', payload: { sleep_ms: 1500 } }));
    const running = await eventually(async () => {
      const { rows } = await rig.database.query<{ n: number }>(
        `select count(*) as n from queue where state = 'running'`,
      );
      return rows[0]?.n === 3 ? rows[0].n : undefined;
    });
    expect(running).to.equal(3);
    const from = beats.length;
    await eventually(() => (beats.length >= from + 3 ? true : undefined));
    const settled = beats.slice(from + 1, from + 3);
    for (const { beat, answer } of settled) {
      expect(beat.attempts.count).to.be.at.least(3);
      expect(beat.attempts.list).to.equal(undefined);
      expect(answer.list_attempts).to.equal(undefined);
    }
    expect(beats.some(({ answer }) => answer.list_attempts === true)).to.equal(true);
    await rig.settled();
  });
});
