import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AppError, type ErrorCode } from '../../src/domain/error.ts';
import { problemOf } from '../../src/domain/problem.ts';
import { explainCodes } from '../../src/tasks/explain.ts';
import { collectCodes } from './collect-codes.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/errors.md'), 'utf8');
const headings = [...page.matchAll(/^### (\w+)$/gm)].map(([, code]) => code ?? '');
const rows = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code ?? '');

/** Reasons that only say in what way something is wrong that is named elsewhere, and are shown to nobody by themselves. */
const internal = new Set(['unknown']);

const kinds: Record<ErrorCode, true> = {
  invalid: true,
  unauthenticated: true,
  forbidden: true,
  not_found: true,
  conflict: true,
  rate_limited: true,
  too_large: true,
  expired: true,
  unavailable: true,
  internal: true,
};

describe('docs/errors.md', () => {
  it('explains every code that the sources give', () => {
    const documented = new Set([...headings, ...rows, ...internal]);
    const missing = [...collectCodes(join(root, 'src'))].filter(([code]) => !documented.has(code));
    expect(missing.map(([code, files]) => `${code} (${[...files].join(', ')})`)).to.deep.equal([]);
  });

  it('explains every kind of failure, and every reason of an explanation', () => {
    expect(headings).to.include.members(Object.keys(kinds));
    expect(rows).to.include.members([...explainCodes]);
  });

  it('explains nothing that the sources do not have', () => {
    const folder = join(root, 'src');
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
    expect([...headings, ...rows].filter((code) => !sources.includes(`'${code}'`))).to.deep.equal([]);
  });

  it('names each code once, with the status of its kind and whether to retry', () => {
    expect(new Set(headings).size).to.equal(headings.length);
    for (const code of headings) {
      const part = page.slice(page.indexOf(`### ${code}\n`));
      expect(part, code).to.match(/^### \w+\n\n- Status \d{3}\. .+\n- Retry: (?:no|yes|later|perhaps)\.\n- .+\n/);
      if (code in kinds) {
        const { status } = problemOf(new AppError(code as ErrorCode, ''));
        expect(part.slice(0, 200), code).to.include(`Status ${status.toString()}.`);
      }
    }
  });
});
