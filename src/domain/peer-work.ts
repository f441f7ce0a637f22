/** What orchestrators on one database tell each other of. Whoever may log in to the database may say it too: all of it is bounded. */

import { z } from 'zod';

const name = z
  .string()
  .max(255)
  .refine((text) => !text.includes('\0'), 'no NUL');
const count = z.int().min(0).max(100_000);

/** Where `count` tasks of one requirement, principal, source and rank have been queued, the last of them by id. */
const place = z.strictObject({
  requirement: z.int32(),
  principal: name,
  source: name,
  rank: z.int(),
  count,
  last: z.uuid(),
});
export type Place = z.infer<typeof place>;

/** What was committed besides records; all of it hints, which save the leader from looking through everything. */
export const peerWork = z.strictObject({
  /** Where tasks have become ready. */
  places: z.array(place).optional(),
  /** Tasks that are ready again, by id. */
  ready: z.array(z.uuid()).optional(),
  /** What nodes have finished, and in what time they ran that, in ms: absent where it was given up. */
  finished: z.array(z.strictObject({ node_id: z.uuid(), count, span_ms: z.number().min(1).optional() })).optional(),
  /** Nodes joined, came back, started anew or have other slots. */
  nodes: z.boolean().optional(),
});
export type PeerWork = z.infer<typeof peerWork>;
