/** Routes of the fleet: nodes join, report, and are listed. */

import { z } from 'zod';
import { readNodePage, type NodeRow } from '../../../fleet/fleet-sql.ts';
import { isUuid } from '../../../proof/ids.ts';
import { pageOf, readCursor } from '../../../tasks/list-cursor.ts';
import * as shapes from '../answer-schemas.ts';
import { cursorParameter, limitParameter } from '../query.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

export function nodeRoutes({ database, fleet }: HttpServices): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v1/nodes',
      access: 'nodes:read',
      tag: 'fleet',
      summary: 'List nodes',
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      answers: { 200: { description: 'A page of nodes', schema: shapes.nodeList } },
      handle: async ({ query: { limit, cursor } }) => {
        const after = readCursor('nodes', cursor, isUuid);
        const { nodes, total } = await readNodePage(database, after, limit + 1);
        const { items, next_cursor } = pageOf('nodes', nodes, limit, ({ node_id }) => node_id);
        return { status: 200, body: { nodes: items.map(nodeView), total, next_cursor } };
      },
    }),
    route({
      method: 'post',
      path: '/api/v1/nodes/register',
      access: 'join_token',
      tag: 'fleet',
      summary: 'Join as a node, with a join token as bearer',
      body: shapes.anyObject,
      answers: { 201: { description: 'Id, credential, trust set and configuration', schema: shapes.anyObject } },
      handle: async ({ token, body, context }) => ({ status: 201, body: await fleet.register(token, body, context) }),
    }),
    route({
      method: 'post',
      path: '/api/v1/nodes/{node_id}/heartbeat',
      access: 'node_credential',
      tag: 'fleet',
      summary: 'Report as a node, with its credential as bearer',
      params: { node_id: 'Id of the node' },
      body: shapes.anyObject,
      answers: { 200: { description: 'Lease, and what the node is to do', schema: shapes.anyObject } },
      handle: async ({ token, params: { node_id = '' }, body, context }) => ({
        status: 200,
        body: await fleet.heartbeat(token, node_id, body, context),
      }),
    }),
  ];
}

function nodeView(node: NodeRow): object {
  const { node_id, name, status, slots, labels, capabilities, metrics } = node;
  return {
    id: node_id,
    name,
    status,
    slots,
    labels,
    capabilities,
    metrics,
    registered_at: node.registered_at.toISOString(),
    last_heartbeat: node.last_heartbeat?.toISOString() ?? null,
    lease_until: node.lease_until.toISOString(),
  };
}
