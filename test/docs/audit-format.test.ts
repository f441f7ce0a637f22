import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseCanonical } from '../../src/proof/canonical-json.ts';
import { checkRecord, leafHash } from '../../src/proof/record.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/audit-format.md'), 'utf8');

function sources(folder: string): { path: string; text: string }[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ path: join(folder, name), text: readFileSync(join(root, folder, name), 'utf8') }));
}

/** Types of the first column of the page's last table. */
function documentedTypes(): Set<string> {
  const table = page.slice(page.indexOf('## Types of record'));
  const cells = [...table.matchAll(/^\| (`[^|]+) \|/gm)].map(([, cell]) => cell ?? '');
  return new Set(cells.flatMap((cell) => [...cell.matchAll(/`([a-z_.]+)`/g)].map(([, type]) => type ?? '')));
}

/** Where a record's type stands in the sources: in a draft, and where a type is handed on to one. */
const places = [
  /\btype: '([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)'/g,
  /\b(?:tokenRecord|record(?:Read|Refusal))\(\s*(?:services,\s*call,\s*)?'([a-z_.]+)'/g,
];
/** Types of messages, not of records. */
const notRecords = new Set(['telemetry.batch']);

describe('docs/audit-format.md', () => {
  it('tells of every type of record that is written', () => {
    const written = new Map<string, string>();
    for (const { path, text } of sources('src')) {
      for (const place of places) {
        for (const [, type = ''] of text.matchAll(place)) if (!notRecords.has(type)) written.set(type, path);
      }
    }
    expect([...written.keys()]).to.include.members(['task.submit', 'token.create', 'audit.export', 'log.heartbeat']);
    const documented = documentedTypes();
    expect([...written].filter(([type]) => !documented.has(type))).to.deep.equal([]);
  });

  it('tells of no type that the sources do not know', () => {
    const all = sources('src')
      .map(({ text }) => text)
      .join('\n');
    expect([...documentedTypes()].filter((type) => !all.includes(`'${type}'`))).to.deep.equal([]);
  });

  it('has each rule that the verifier names, numbered without a gap', () => {
    const rules = [...page.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    expect(rules).to.deep.equal(rules.map((_, i) => i + 1));
    const named = sources('src/proof').flatMap(({ text }) => [
      ...[...text.matchAll(/\brules? (\d+)\b/g)].map(([, number]) => Number(number)),
      ...[...text.matchAll(/\bholdRule\([^;]*?,\s*(\d+),/g)].map(([, number]) => Number(number)),
    ]);
    expect(named.length).to.be.greaterThan(50);
    expect(named.filter((number) => !rules.includes(number))).to.deep.equal([]);
  });

  it('shows a record whose leaf hash is the one that it says', () => {
    const line = /^```json\n(\{"actor".*\})\n```$/m.exec(page)?.[1] ?? '';
    expect(checkRecord(parseCanonical(line)).type).to.equal('receipt.accept');
    expect(page).to.include(`has the leaf hash \`${leafHash(line).toString('base64')}\``);
  });
});
