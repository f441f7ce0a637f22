import type { Heartbeat, HeartbeatAnswer } from '../../src/domain/node.ts';
import type { NodeOptions } from './rig.ts';

/** Heartbeats of a node with what they were answered, in order, once it is started with `wrapLink`. */
export function recordBeats(): {
  beats: { beat: Heartbeat; answer: HeartbeatAnswer }[];
  wrapLink: NonNullable<NodeOptions['wrapLink']>;
} {
  const beats: { beat: Heartbeat; answer: HeartbeatAnswer }[] = [];
  return {
    beats,
    wrapLink: (link) => ({
      ...link,
      heartbeat: async (credential, nodeId, beat) => {
        const answer = await link.heartbeat(credential, nodeId, beat);
        beats.push({ beat, answer });
        return answer;
      },
    }),
  };
}
