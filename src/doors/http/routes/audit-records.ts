/** Routes that search the audit log. Every read is itself recorded before it is answered. */

import { z } from 'zod';
import { actorOf, authzOf } from '../../../aaa/accounting.ts';
import { AppError } from '../../../domain/error.ts';
import type { Permission } from '../../../domain/principal.ts';
import { readRecord, searchRecords, type RecordFilters } from '../../../ledger/record-search.ts';
import { isUuid } from '../../../proof/ids.ts';
import { recordOutcomes } from '../../../proof/record.ts';
import { pageOf, readCursor } from '../../../tasks/list-cursor.ts';
import { recordIdsOfTask } from '../../../tasks/timeline.ts';
import * as shapes from '../answer-schemas.ts';
import { countParameter, cursorParameter, limitParameter, timeParameter } from '../query.ts';
import { route, type PrincipalCall, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

const text = z.string().min(1).max(255);

const searchQuery = z.strictObject({
  seq: countParameter.optional(),
  type: text.optional(),
  actor: text.optional(),
  outcome: z.enum(recordOutcomes).optional(),
  target: text.optional().describe('Id of what a record is about; of a task, every record that tells of it'),
  from: timeParameter.optional(),
  to: timeParameter.optional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

export function auditRecordRoutes(services: HttpServices): Route[] {
  const { database } = services;
  return [
    route({
      method: 'get',
      path: '/api/v1/audit/records',
      access: 'audit:read',
      tag: 'audit',
      summary: 'Search the audit log, newest first',
      query: searchQuery,
      answers: { 200: { description: 'A page of records', schema: shapes.recordList } },
      handle: async (call) => {
        const { limit, cursor, ...rest } = call.query;
        const before = readCursor('records', cursor, (value): value is number => Number.isSafeInteger(value));
        const asked = Object.entries(rest).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, value] as const],
        );
        await recordRead(services, call, 'audit.read', 'audit:read', Object.fromEntries(asked.map(plainFilter)));
        const filters: RecordFilters = Object.fromEntries(asked);
        const { target } = filters;
        if (isUuid(target)) filters.ids = await recordIdsOfTask(database, target);
        const found = await searchRecords(database, filters, before, limit + 1);
        const { items, next_cursor } = pageOf('records', found, limit, ({ record }) => record.seq);
        return { status: 200, body: { records: items.map(({ record }) => record), next_cursor } };
      },
    }),
    route({
      method: 'get',
      path: '/api/v1/audit/records/{seq}',
      access: 'audit:read',
      tag: 'audit',
      summary: 'Read one record, with its exact bytes',
      params: { seq: 'Number of a record' },
      answers: { 200: { description: 'The record', schema: shapes.oneRecord } },
      handle: async (call) => {
        const parsed = countParameter.safeParse(call.params['seq']);
        const found = parsed.success ? await readRecord(database, parsed.data) : undefined;
        if (found === undefined) throw recordNotFound();
        await recordRead(services, call, 'audit.read', 'audit:read', { seq: found.record.seq });
        return { status: 200, body: found };
      },
    }),
  ];
}

/** The failure for a number that the log has not come to. */
export function recordNotFound(): AppError {
  return new AppError('not_found', 'The log has no such record yet.', { reason: 'record_not_found' });
}

/** Writes down that somebody read; fails the call where that cannot be written. */
export async function recordRead(
  { audit, database }: Pick<HttpServices, 'audit' | 'database'>,
  { principal, context }: PrincipalCall<unknown, unknown>,
  type: string,
  permission: Permission,
  data: Record<string, string | number>,
): Promise<void> {
  await audit.append(database, [
    {
      type,
      outcome: 'allow',
      actor: actorOf(principal),
      authz: authzOf(principal, permission),
      data,
      request_id: context.requestId,
    },
  ]);
}

function plainFilter([name, value]: readonly [string, string | number | Date]): [string, string | number] {
  return [name, value instanceof Date ? value.toISOString() : value];
}
