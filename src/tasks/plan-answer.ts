/** What a dry run of a submission answers: decisions, the claims that would be signed, and nodes that could run it. */

import { AppError } from '../domain/error.ts';
import { problemOf, type Problem } from '../domain/problem.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import type { Catalog } from '../tools/catalog.ts';
import { candidatesOf } from './candidates.ts';
import { readNodeLoads } from './explain-sql.ts';
import type { PlannedTask } from './plan.ts';

/** One item's decision: what its order would grant, or the problem that refuses it. */
export type PlanDecision =
  | {
      decision: 'accept';
      task_sha256: string;
      /** What the manifest would say of it; ids, times and the attempt are of the order alone. */
      claims: {
        grant: {
          tool: string;
          tool_digest: string;
          action: string;
          effects: string;
          timeout_s: number;
          scope: string | null;
          requested_by: string;
          required_role: string;
        };
        payload_sha256: string;
      };
      priority: number;
      not_before: string | null;
      expires_at: string | null;
      candidate_nodes: string[];
      free_nodes: string[];
    }
  | { decision: 'refuse'; error: Problem };

/** Decisions in the order of the outcomes. Nodes are those of this moment. */
export async function planAnswer(
  db: Queryable,
  outcomes: readonly (PlannedTask | AppError)[],
  catalog: Catalog,
): Promise<PlanDecision[]> {
  const nodes = await readNodeLoads(db);
  return outcomes.map((outcome) => {
    if (outcome instanceof AppError) return { decision: 'refuse', error: problemOf(outcome) };
    const { able, free } = candidatesOf(
      { tool: outcome.action.tool, constraints: outcome.constraints },
      nodes,
      catalog,
    );
    return {
      decision: 'accept',
      task_sha256: outcome.task_sha256,
      claims: { grant: grantOf(outcome), payload_sha256: outcome.payload_sha256 },
      priority: outcome.priority,
      not_before: outcome.run_at?.toISOString() ?? null,
      expires_at: outcome.expires_at?.toISOString() ?? null,
      candidate_nodes: able.map(({ node_id }) => node_id),
      free_nodes: free.map(({ node_id }) => node_id),
    };
  });
}

function grantOf({ action, timeout_s, scope, requested_by, required_role }: PlannedTask) {
  return {
    tool: action.tool,
    tool_digest: action.digest,
    action: action.action,
    effects: action.effects,
    timeout_s,
    scope,
    requested_by,
    required_role,
  };
}
