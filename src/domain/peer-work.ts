/** What orchestrators on one database tell each other of. */

import { z } from 'zod';

/** Where `count` tasks of one requirement, principal, source and rank have been queued, the last of them by id. */
export const place = z.object({
  requirement: z.int(),
  principal: z.string(),
  source: z.string(),
  rank: z.int(),
  count: z.int().min(1),
  last: z.uuid(),
});
export type Place = z.infer<typeof place>;

/** What was committed besides records; all of it hints, which save the leader from looking through everything. */
export const peerWork = z.object({
  /** Where tasks have become ready. */
  places: z.array(place).optional(),
  /** Tasks that are ready again, by id. */
  ready: z.array(z.uuid()).optional(),
  /** What nodes have finished, and in what time they ran that, in ms: absent where it was given up. */
  finished: z.array(z.object({ node_id: z.uuid(), count: z.int().min(0), span_ms: z.number().optional() })).optional(),
  /** Nodes joined, came back, or told of something else than before. */
  nodes: z.boolean().optional(),
});
export type PeerWork = z.infer<typeof peerWork>;
