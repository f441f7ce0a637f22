/** A node that signs many receipts, and how it learns that they have arrived. */

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { recordBeats } from './recorded-beats.ts';
import { startRig, type Rig } from './rig.ts';

describe('a node that signs many receipts', function () {
  this.timeout(60_000);
  let rig: Rig;

  beforeEach(async () => {
    // Longer than the test: what is asked for in between is not the rhythm's.
    rig = await startRig({ flags: { heartbeat_interval_s: 120, node_lease_s: 600 } });
  });

  afterEach(async () => {
    const { problems } = await rig.atRest();
    await rig.stop();
    expect(problems).to.deep.equal([]);
  });

  it('asks which have arrived before its heartbeat is due, once a second at most', async () => {
    const { beats, wrapLink } = recordBeats();
    const startedMs = performance.now();
    await rig.addNode('alpha', { slots: 1, wrapLink });
    const operator = await rig.principal('integration', ['operator']);
    // One after the other, most of them in a receipt of their own.
    await rig.submit(operator, Array<object>(500).fill({ tool: 'noop', action: 'run', payload: { sleep_ms: 4 } }));
    await rig.settled();
    const seconds = (performance.now() - startedMs) / 1000;
    // The first was on its start; lists are sent where they are asked for.
    const early = beats.slice(1).filter(({ beat }) => beat.attempts.list === undefined);
    expect(early).to.not.deep.equal([]);
    expect(early.length).to.be.at.most(Math.ceil(seconds));
    expect(early[0]?.beat.receipts_seq).to.be.at.least(63);
    expect(early.at(-1)?.answer.receipts_through).to.be.at.least(32);
    expect(beats.at(-1)?.beat.status).to.equal('active');
  });
});
