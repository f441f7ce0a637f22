/** Routes that give proofs: checkpoint and tiles in the C2SP tlog-tiles layout, inclusion, consistency, export. */

import { z } from 'zod';
import { AppError } from '../../../domain/error.ts';
import { readRecordsById } from '../../../ledger/record-search.ts';
import { recordIdsOfTask } from '../../../tasks/timeline.ts';
import { requireTaskRow } from '../../../tasks/read-tasks.ts';
import * as shapes from '../answer-schemas.ts';
import { countParameter } from '../query.ts';
import { route, type Call, type Reply, type Route } from '../route.ts';
import type { AuditService, HttpServices } from '../services.ts';
import { recordNotFound, recordRead } from './audit-records.ts';

const text = 'text/plain; charset=utf-8';

export function auditLogRoutes(services: HttpServices): Route[] {
  const { auditLog, database } = services;
  const access = services.isAuditLogPublic ? ('none' as const) : ('audit:read' as const);
  return [
    route({
      method: 'get',
      path: '/api/v1/audit/log/checkpoint',
      access,
      tag: 'audit',
      summary: 'The newest signed checkpoint',
      answers: { 200: { description: 'A C2SP signed note', contentType: text } },
      handle: async () => {
        const note = await auditLog.checkpoint();
        if (note === undefined) throw notCovered();
        return { status: 200, contentType: text, body: Buffer.from(note) };
      },
    }),
    ...['{level}/{n}', '{level}/{x1}/{n}', '{level}/{x1}/{x2}/{n}', '{level}/{x1}/{x2}/{x3}/{n}'].map((rest) =>
      tileRoute(rest, access, auditLog),
    ),
    route({
      method: 'get',
      path: '/api/v1/audit/proof',
      access: 'audit:read',
      tag: 'audit',
      summary: 'Inclusion proofs: of one record as a file, or of every record that tells of a task',
      query: z.strictObject({ seq: countParameter.optional(), task: z.uuid().optional() }),
      answers: {
        200: { description: 'With `seq` a C2SP tlog-proof file, with `task` a list', schema: shapes.proofList },
      },
      handle: async (call) => {
        const { seq, task } = call.query;
        if ((seq === undefined) === (task === undefined)) throw oneOf();
        await recordRead(
          services,
          call,
          'audit.read',
          'audit:read',
          seq === undefined ? { proof_task: task ?? '' } : { proof: seq },
        );
        if (seq !== undefined)
          return { status: 200, contentType: text, body: Buffer.from(await requireProof(auditLog, seq)) };
        await requireTaskRow(database, task ?? '');
        const records = await readRecordsById(database, await recordIdsOfTask(database, task ?? ''));
        const proofs = [];
        for (const { record } of records) {
          proofs.push({ seq: record.seq, type: record.type, proof: (await auditLog.proof(record.seq)) ?? null });
        }
        return { status: 200, body: { proofs } };
      },
    }),
    route({
      method: 'get',
      path: '/api/v1/audit/consistency',
      access: 'audit:read',
      tag: 'audit',
      summary: 'RFC 6962 consistency proof between two sizes of the log',
      query: z.strictObject({ from: countParameter, to: countParameter }),
      answers: { 200: { description: 'The proof, base64 hashes', schema: shapes.consistencyProof } },
      handle: async ({ query: { from, to } }) => {
        const proof = await auditLog.consistency(from, to);
        if (proof === undefined) throw notCovered();
        return { status: 200, body: { from, to, proof } };
      },
    }),
    route({
      method: 'get',
      path: '/api/v1/audit/export',
      access: 'audit:export',
      tag: 'audit',
      summary: 'Export a bundle that verifies offline, as tar',
      query: z.strictObject({ from: countParameter.optional(), to: countParameter.optional() }),
      answers: { 200: { description: 'docs/audit-format.md describes the bundle', contentType: 'application/x-tar' } },
      handle: async (call) => {
        const range = Object.fromEntries(Object.entries(call.query).filter(([, value]) => value !== undefined));
        await recordRead(services, call, 'audit.export', 'audit:export', range as Record<string, number>);
        return {
          status: 200,
          contentType: 'application/x-tar',
          headers: { 'Content-Disposition': 'attachment; filename="audit-bundle.tar"' },
          stream: await auditLog.export(range),
        };
      },
    }),
  ];
}

/** Tile numbers come in groups of three digits, each a part of the path; all four lengths lead to one reader. */
function tileRoute(rest: string, access: 'none' | 'audit:read', auditLog: AuditService): Route {
  const names = [...rest.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
  return route({
    method: 'get',
    path: `/api/v1/audit/log/tile/${rest}`,
    access,
    tag: 'audit',
    summary: 'A tile of hashes, or of records under `entries`',
    params: Object.fromEntries(names.map((name) => [name, 'As C2SP tlog-tiles says'])),
    answers: { 200: { description: 'Bytes; a full tile never changes', contentType: 'application/octet-stream' } },
    handle: async ({ params }: Call<unknown, unknown>): Promise<Reply> => {
      const tile = await auditLog.tile(names.map((name) => params[name] ?? '').join('/'));
      if (tile === undefined)
        throw new AppError('not_found', 'The log has no such tile.', { reason: 'tile_not_found' });
      const cache = tile.isFull ? 'public, max-age=31536000, immutable' : 'no-store';
      return {
        status: 200,
        contentType: 'application/octet-stream',
        headers: { 'Cache-Control': cache },
        body: tile.bytes,
      };
    },
  });
}

async function requireProof(auditLog: AuditService, seq: number): Promise<string> {
  const proof = await auditLog.proof(seq);
  if (proof === undefined) throw recordNotFound();
  return proof;
}

function oneOf(): AppError {
  return new AppError('invalid', 'Ask for one of "seq" and "task".', {
    reason: 'invalid_parameter',
    errors: [{ path: 'seq', message: 'exactly one of seq and task' }],
  });
}

function notCovered(): AppError {
  return new AppError('not_found', 'No checkpoint covers this yet.', { reason: 'not_covered', retryAfterS: 1 });
}
