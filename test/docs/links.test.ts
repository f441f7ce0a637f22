import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  join(root, 'README.md'),
  join(root, 'CHANGELOG.md'),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(root, 'docs', name)),
];

/** Text outside of fenced code. */
function proseOf(text: string): string {
  return text.replaceAll(/^```[^]*?^```$/gm, '');
}

/** The anchors of a page's headings, as they are made for Markdown on the web. */
function anchorsOf(text: string): Set<string> {
  return new Set(
    [...proseOf(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

describe('links in documents', () => {
  it('lead to files and headings that are there', () => {
    const broken: string[] = [];
    for (const page of pages) {
      for (const [, target = ''] of proseOf(readFileSync(page, 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        const isThere = existsSync(file) && (anchor === undefined || anchorsOf(readFileSync(file, 'utf8')).has(anchor));
        if (!isThere) broken.push(`${relative(root, page)}: ${target}`);
      }
    }
    expect(broken).to.deep.equal([]);
  });

  it('name source files that are there', () => {
    const missing: string[] = [];
    for (const page of pages) {
      for (const [, path = ''] of readFileSync(page, 'utf8').matchAll(
        /\b((?:src|test|scripts|migrations)\/[\w./-]+\.\w+)/g,
      )) {
        if (!existsSync(join(root, path))) missing.push(`${relative(root, page)}: ${path}`);
      }
    }
    expect(missing).to.deep.equal([]);
  });

  it('number decisions without a gap', () => {
    const numbers = readdirSync(join(root, 'docs/decisions')).map((name) => Number(name.slice(0, 4)));
    expect(numbers.sort((a, b) => a - b)).to.deep.equal(numbers.map((_, i) => i + 1));
  });
});
