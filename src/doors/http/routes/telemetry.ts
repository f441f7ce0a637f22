/** Routes about events that the broker refused for good. */

import { z } from 'zod';
import { pageOf, readCursor } from '../../../tasks/list-cursor.ts';
import type { StoredDeadEvent } from '../../../telemetry/telemetry-sql.ts';
import * as shapes from '../answer-schemas.ts';
import { cursorParameter, limitParameter } from '../query.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

const resent = z.object({ sent: z.int(), refused: z.int() });

export function telemetryRoutes({ deadEvents }: HttpServices): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v1/telemetry/dead-events',
      access: 'telemetry:read',
      tag: 'telemetry',
      summary: 'List messages that the broker refused for good, oldest first',
      query: z.strictObject({ limit: limitParameter, cursor: cursorParameter }),
      answers: { 200: { description: 'A page of messages', schema: shapes.anyObject } },
      handle: async ({ query: { limit, cursor } }) => {
        const after = Number(readCursor('dead_events', cursor, isDecimal) ?? '0');
        const found = await deadEvents.list(after, limit + 1);
        const page = pageOf('dead_events', found, limit, ({ dead_event_id }) => dead_event_id.toString());
        return { status: 200, body: { dead_events: page.items.map(view), next_cursor: page.next_cursor } };
      },
    }),
    route({
      method: 'post',
      path: '/api/v1/telemetry/dead-events/resend',
      access: 'telemetry:resend',
      tag: 'telemetry',
      summary: 'Send the oldest 500 of them again, with the ids that they had',
      answers: { 200: { description: 'How many the broker took, and how many it refused again', schema: resent } },
      handle: async ({ principal, context }) => ({
        status: 200,
        body: await deadEvents.resend(principal, context.requestId),
      }),
    }),
  ];
}

function isDecimal(text: unknown): text is string {
  return typeof text === 'string' && /^\d{1,15}$/.test(text);
}

function view({ body, created_at, ...event }: StoredDeadEvent): object {
  return { ...event, created_at: created_at.toISOString(), body: body.toString('utf8') };
}
