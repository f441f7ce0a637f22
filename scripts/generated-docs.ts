/** The documents that are made from the sources: which they are, and what they must hold. */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { eventTypes } from '../src/domain/event.ts';
import { eventSchema, eventSections } from './document-events.ts';
import { settingsPage } from './document-settings.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const telemetryPath = 'docs/telemetry.md';
const schemasFolder = 'docs/events';
const begin = '<!-- begin: written by `npm run docs` -->';
const end = '<!-- end: written by `npm run docs` -->';

/** Every generated file's text by its path from the root, and files in its folders that nothing makes any more. */
export async function generatedDocs(): Promise<{ files: Map<string, string>; leftOver: string[] }> {
  const files = new Map([['docs/settings.md', settingsPage()]]);
  files.set(telemetryPath, await telemetryPage());
  const options = await resolveConfig(join(root, 'package.json'));
  for (const type of eventTypes) {
    const text = JSON.stringify(eventSchema(type));
    files.set(`${schemasFolder}/${type}.schema.json`, await format(text, { ...options, parser: 'json' }));
  }
  const present = await readdir(join(root, schemasFolder)).catch(() => []);
  const leftOver = present.map((name) => `${schemasFolder}/${name}`).filter((path) => !files.has(path));
  return { files, leftOver };
}

/** Where a path from the root lies. */
export function docPath(path: string): string {
  return join(root, path);
}

/** What is written by hand stays; what stands between the marks is made. */
async function telemetryPage(): Promise<string> {
  const text = await readFile(join(root, telemetryPath), 'utf8');
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`${telemetryPath} lacks the marks between which events are told of`);
  return `${text.slice(0, from + begin.length)}\n\n${eventSections()}\n${text.slice(to)}`;
}
