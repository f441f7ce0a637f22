/** The page of error codes, made from docs/errors.md: headings, paragraphs, lists, tables and code, nothing more. */

import { readFile } from 'node:fs/promises';
import { escapeHtml, page } from './html.ts';

const source = new URL('../../../docs/errors.md', import.meta.url);

export async function errorsPage(): Promise<Buffer> {
  return page('Writ: error codes', markdownHtml(await readFile(source, 'utf8')));
}

/** Each heading has its own text as id, so that the `type` of a problem leads to it. */
export function markdownHtml(markdown: string): string {
  return markdown
    .split(/\n{2,}/)
    .map((block) => blockHtml(block.trim()))
    .join('\n');
}

function blockHtml(block: string): string {
  const heading = /^(#{1,4}) (.*)$/.exec(block);
  if (heading !== null) {
    const [, marks = '', text = ''] = heading;
    const level = marks.length.toString();
    return `<h${level} id="${escapeHtml(text.replaceAll('`', ''))}">${inline(text)}</h${level}>`;
  }
  const lines = block.split('\n');
  if (lines.every((line) => line.startsWith('|'))) return tableHtml(lines);
  if (lines.every((line) => /^(- | {2})/.test(line))) return listHtml(lines);
  return block === '' ? '' : `<p>${inline(lines.join(' '))}</p>`;
}

function listHtml(lines: readonly string[]): string {
  const items: string[] = [];
  for (const line of lines) {
    if (line.startsWith('- ')) items.push(line.slice(2));
    else items.push(`${items.pop() ?? ''} ${line.trim()}`);
  }
  return `<ul>${items.map((item) => `<li>${inline(item)}</li>`).join('')}</ul>`;
}

function tableHtml(lines: readonly string[]): string {
  const rows = lines.filter((line) => !/^\|[\s|:-]+\|$/.test(line)).map((line) => line.slice(1, -1).split('|'));
  const html = rows.map((cells, i) => {
    const tag = i === 0 ? 'th' : 'td';
    return `<tr>${cells.map((cell) => `<${tag}>${inline(cell.trim())}</${tag}>`).join('')}</tr>`;
  });
  return `<table>${html.join('')}</table>`;
}

/** Code and bold; a link shows its text alone. */
function inline(text: string): string {
  return escapeHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1');
}
