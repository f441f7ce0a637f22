/** Manifests and receipts of an export: those that its records name, in the order in which they first do (rule 27). */

import type { Queryable } from '../platform/postgres/pool.ts';
import { formatMemberLine } from '../proof/bundle.ts';
import { isSha256Hex } from '../proof/hash.ts';
import { dataOfLine } from './export-line.ts';
import { readEvidencePage, readTypedPages, type EvidenceTable, type LogLine } from './export-sql.ts';

const kinds = {
  manifests: { types: ['manifest.issue', 'manifest.void'], member: 'manifest_sha256' },
  receipts: { types: ['receipt.accept', 'receipt.late'], member: 'receipt_sha256' },
} as const;

/** Lines of `manifests.jsonl` or `receipts.jsonl` for records `from` … `size` - 1; what was pruned is left out. */
export async function* evidenceLines(
  db: Queryable,
  table: EvidenceTable,
  { from, size }: { from: number; size: number },
): AsyncGenerator<Buffer> {
  const { types, member } = kinds[table];
  // Which record named a hash first is told by the record that was written with the evidence, so that nothing has to be
  // remembered but the few that were named before `from`, or by another record than their own.
  const others = new Set<string>();
  for await (const page of readTypedPages(db, types, from, size)) {
    const named = [...firstNamings(page, member)];
    for (let at = 0; at < named.length;) {
      const rows = await readEvidencePage(
        db,
        table,
        named.slice(at).map(([sha256]) => sha256),
      );
      const lines: string[] = [];
      for (const { n, jws, recorded_seq: recorded } of rows) {
        const [sha256, seq] = named[at + n - 1] ?? ['', 0];
        const isOwn = recorded === seq;
        const wasEarlier = recorded !== null && recorded >= from && recorded < seq;
        if (!isOwn && (wasEarlier || others.has(sha256))) continue;
        if (!isOwn) others.add(sha256);
        lines.push(formatMemberLine({ sha256, jws: jws.toString('latin1') }));
      }
      if (lines.length > 0) yield Buffer.from(lines.join(''));
      const last = rows.at(-1);
      if (last === undefined) break;
      at += last.n;
    }
  }
}

/** Each hash that records of a page name, with the first of these records. */
function firstNamings(page: readonly LogLine[], member: string): Map<string, number> {
  const named = new Map<string, number>();
  for (const { seq, line } of page) {
    const sha256 = dataOfLine(line)[member];
    if (isSha256Hex(sha256) && !named.has(sha256)) named.set(sha256, seq);
  }
  return named;
}
