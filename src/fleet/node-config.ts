/** What nodes work by besides their orders: the scopes, with a version that rises at each change. */

import type { NodeConfig } from '../domain/node.ts';
import type { Scope } from '../domain/scope.ts';
import type { Queryable } from '../platform/postgres/pool.ts';

/** All scopes, and the number of the last change. Scopes are changed and never taken away. */
export async function currentConfig(db: Queryable): Promise<{ config: NodeConfig; version: number }> {
  const found = await db.query<{ scopes: Scope[]; version: number }>({
    name: 'current_node_config',
    text: `select coalesce(jsonb_agg(definition order by name), '[]') as scopes, coalesce(max(version), 0) as version from scopes`,
    values: [],
  });
  const row = found.rows[0];
  return { config: { scopes: row?.scopes ?? [] }, version: row?.version ?? 0 };
}
