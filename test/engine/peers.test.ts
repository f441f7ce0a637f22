import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import { systemClock } from '../../src/domain/clock.ts';
import type { PeerWork } from '../../src/domain/peer-work.ts';
import { newId, type TaskId } from '../../src/domain/ids.ts';
import { Peers } from '../../src/engine/peers.ts';
import { saidMaxBytes, type Notifier, type WakeHandler } from '../../src/platform/postgres/notify.ts';

const nodeId = newId<TaskId>();

describe('what orchestrators tell each other', () => {
  let said: string[];
  let heard: (PeerWork | undefined)[];
  let hear: WakeHandler;
  let peers: Peers;

  beforeEach(async () => {
    said = [];
    heard = [];
    const handlers = new Map<string, WakeHandler>();
    const notifier: Notifier = {
      listen: (channel, handler) => {
        handlers.set(channel, handler);
        return Promise.resolve(() => undefined);
      },
      notify: (_, text = '') => said.push(text),
      close: () => Promise.resolve(),
    };
    peers = new Peers(notifier, systemClock);
    await peers.start({ onWork: (work) => heard.push(work), onEnded: () => undefined });
    handlers.get('writ_alive')?.('');
    hear = (text) => handlers.get('writ_work')?.(text);
  });

  it('is heard as it was told', () => {
    const place = { requirement: 3, principal: 'p', source: 's', rank: -5, count: 2, last: nodeId };
    const work: PeerWork = {
      places: [place],
      ready: [nodeId],
      finished: [{ node_id: nodeId, count: 4, span_ms: 1 }],
      nodes: true,
    };
    peers.tellWork(work);
    said.forEach(hear);
    expect(heard).to.deep.equal([work]);
  });

  it('is never the same text twice, so that counts arrive as often as they are told', () => {
    const finished = [{ node_id: nodeId, count: 1, span_ms: 1 }];
    for (let n = 0; n < 10; n++) peers.tellWork({ finished });
    expect(new Set(said).size).to.equal(10);
  });

  it('is anything where it is too much for a notice', () => {
    peers.tellWork({ ready: Array.from({ length: 300 }, () => nodeId) });
    expect(said.every((text) => Buffer.byteLength(text) <= saidMaxBytes)).to.equal(true);
    said.forEach(hear);
    expect(heard).to.deep.equal([undefined]);
  });

  const wrong = {
    'the notice of another version': '',
    'no JSON': '1 {',
    'a member that is not known': '1 {"later":true}',
    'a requirement beyond the database': `1 {"places":[{"requirement":2147483648,"principal":"x","source":"x","rank":0,"count":1,"last":"${nodeId}"}]}`,
    'a source with NUL': `1 {"places":[{"requirement":1,"principal":"x","source":"\\u0000","rank":0,"count":1,"last":"${nodeId}"}]}`,
    'work in no time': `1 {"finished":[{"node_id":"${nodeId}","count":0,"span_ms":0}]}`,
    'less work than none': `1 {"finished":[{"node_id":"${nodeId}","count":-1}]}`,
  };
  for (const [what, text] of Object.entries(wrong)) {
    it(`is anything where it is ${what}`, () => {
      hear(text);
      expect(heard).to.deep.equal([undefined]);
    });
  }

  it('is anything where notices may be missing', () => {
    hear(undefined);
    expect(heard).to.deep.equal([undefined]);
  });
});
