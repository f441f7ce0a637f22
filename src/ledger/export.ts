/** Exports the log, or a part of it, as a bundle that verifies offline; streamed, with flat memory. */

import { AppError } from '../domain/error.ts';
import type { Queryable } from '../platform/postgres/pool.ts';
import { bundleMembers, formatBundleHeader, formatKeyArchive, formatMemberLine, trustMember } from '../proof/bundle.ts';
import { evidenceLines } from './export-evidence.ts';
import { readExportKeys, trustLines } from './export-keys.ts';
import { readCheckpointPages, readExportEnd, readLinePages, type ExportEnd } from './export-sql.ts';
import { readCompactRange } from './subtree-reader.ts';

/** Which records: from `from`, and to the end of the first checkpoint that covers `to`; all that are signed by default. */
export interface ExportRange {
  from?: number;
  to?: number;
}

/** Whose log it is. */
export interface ExportContext {
  origin: string;
  /** Present verifier key of the log. */
  vkey: string;
}

/** A bundle of records `from` … `size` - 1. All of it lies below a signed size, where nothing changes any more. */
export interface BundleExport {
  size: number;
  from: number;
  created: Date;
  /** Names of the members, in the order in which they are written. */
  members: readonly string[];
  /** Bytes of a member, which may be empty. Each can be read once or more, one at a time or together. */
  open(member: string): AsyncIterable<Buffer>;
}

/**
 * Prepares an export. Fails `conflict` where nothing is signed yet that covers what was asked for (`no_checkpoint`,
 * `not_checkpointed`), and `invalid` with `no_records` for a range that holds none (rule 29).
 */
export async function exportBundle(
  db: Queryable,
  { from = 0, to }: ExportRange,
  context: ExportContext,
): Promise<BundleExport> {
  if (to !== undefined && to < from) throw noRecords();
  const end = await requireEnd(db, to);
  const { size } = end;
  if (from >= size) throw noRecords();
  return {
    ...{ size, from, created: end.now },
    members: from > 0 ? [...bundleMembers, trustMember] : bundleMembers,
    open: (member) => openMember(db, member, { from, end, context }),
  };
}

interface Part {
  from: number;
  end: ExportEnd;
  context: ExportContext;
}

async function requireEnd(db: Queryable, to: number | undefined): Promise<ExportEnd> {
  const end = (await readExportEnd(db, to)) ?? (await readExportEnd(db, undefined));
  if (end === undefined) {
    const message = 'The log has no checkpoint yet. Try again in a second.';
    throw new AppError('conflict', message, { reason: 'no_checkpoint', retryAfterS: 1 });
  }
  if (to !== undefined && end.size <= to) {
    const message = `The newest checkpoint covers ${end.size.toString()} records, not record ${to.toString()} yet.`;
    throw new AppError('conflict', message, { reason: 'not_checkpointed', retryAfterS: 1 });
  }
  return end;
}

function noRecords(): AppError {
  const message = 'There is no record in this range.';
  return new AppError('invalid', message, { reason: 'no_records', errors: [{ path: 'from', message }] });
}

async function* openMember(db: Queryable, member: string, part: Part): AsyncGenerator<Buffer> {
  const { from, end, context } = part;
  const { size, note } = end;
  switch (member) {
    case 'bundle.json':
      yield Buffer.from(await header(db, part));
      return;
    case 'log.vkey':
      yield Buffer.from(await logKeys(db, size, context.vkey));
      return;
    case 'checkpoint':
      yield Buffer.from(note);
      return;
    case 'checkpoints.jsonl':
      for await (const page of readCheckpointPages(db, from, size)) {
        yield Buffer.from(page.map((checkpoint) => formatMemberLine(checkpoint)).join(''));
      }
      return;
    case 'keys.json':
      yield Buffer.from(formatKeyArchive((await readExportKeys(db, size)).archive));
      return;
    case 'records.jsonl':
      for await (const page of readLinePages(db, from, size)) {
        yield Buffer.concat(page.flatMap(({ line }) => [line, lineFeed]));
      }
      return;
    case 'manifests.jsonl':
      yield* evidenceLines(db, 'manifests', { from, size });
      return;
    case 'receipts.jsonl':
      yield* evidenceLines(db, 'receipts', { from, size });
      return;
    case trustMember:
      yield* trustLines(db, from, size);
      return;
    default:
      throw new Error('no member of a bundle');
  }
}

const lineFeed = Buffer.from('\n');

async function header(db: Queryable, { from, end, context }: Part): Promise<string> {
  const prefix = (await readCompactRange(db, from)).map((hash) => hash.toString('base64'));
  const created = end.now.toISOString();
  return formatBundleHeader({ v: 1, log: context.origin, from, size: end.size, created, prefix });
}

/** A key that no record before `size` names is not known to who verifies; it only stands in where there is no other. */
async function logKeys(db: Queryable, size: number, vkey: string): Promise<string> {
  const { logKeys: named } = await readExportKeys(db, size);
  return (named.length === 0 ? [vkey] : named).map((key) => `${key}\n`).join('');
}
