/** The keys of an export, as the log's own records tell of them (formats.md rules 26 and 28). */

import type { Queryable } from '../platform/postgres/pool.ts';
import { formatMemberLine, type ArchivedKey } from '../proof/bundle.ts';
import { inclusionProof } from '../proof/tree-proof.ts';
import type { KeyRetireData, KeyTrustData } from '../proof/record-data.ts';
import { dataOfLine } from './export-line.ts';
import { readTypedPages } from './export-sql.ts';
import { hashReader } from './hash-reader.ts';

const keyTypes = ['key.trust', 'key.retire'] as const;

export interface ExportKeys {
  /** Manifest and node keys, in the order of the log. */
  archive: ArchivedKey[];
  /** Verifier keys of the log. */
  logKeys: string[];
}

/** The keys that records before `size` trust. */
export async function readExportKeys(db: Queryable, size: number): Promise<ExportKeys> {
  const archive = new Map<string, ArchivedKey>();
  const logKeys: string[] = [];
  for await (const page of readTypedPages(db, keyTypes, 0, size)) {
    for (const { line } of page) {
      const data = dataOfLine(line) as Partial<KeyTrustData & KeyRetireData>;
      const known = archive.get(data.kid ?? '');
      if (known !== undefined && data.until !== undefined) known.writ_until = data.until;
      else if (data.use === 'log' && data.vkey !== undefined) logKeys.push(data.vkey);
      else if (data.kid !== undefined && data.use !== undefined)
        archive.set(data.kid, archivedKey(data as KeyTrustData));
    }
  }
  return { archive: [...archive.values()], logKeys };
}

/** Lines of `trust.jsonl`: the records about keys before `from`, each with its proof for the tree of `size`. */
export async function* trustLines(db: Queryable, from: number, size: number): AsyncGenerator<Buffer> {
  const read = hashReader(db, size);
  for await (const page of readTypedPages(db, keyTypes, 0, from)) {
    const lines: string[] = [];
    for (const { seq, line } of page) {
      const proof = (await inclusionProof(read, seq, size)).map((hash) => hash.toString('base64'));
      lines.push(formatMemberLine({ seq, record: line.toString('utf8'), proof }));
    }
    yield Buffer.from(lines.join(''));
  }
}

function archivedKey({ kid, jwk, use, node_id: nodeId, from }: KeyTrustData): ArchivedKey {
  return {
    ...jwk,
    kid,
    writ_use: use === 'node' ? 'node' : 'manifest',
    writ_from: from,
    ...(nodeId === undefined ? {} : { writ_node: nodeId }),
  };
}
