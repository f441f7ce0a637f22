/** The digest of a tool: one SHA-256 over everything that decides what it does on this machine. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '../proof/hash.ts';

/** One file that counts: `label` names it independently of where the installation lies. */
export interface DigestFile {
  label: string;
  bytes: number;
  sha256: string;
}

/**
 * `sha256:` and 64 hex digits over this text: the line `writ-tool-digest-v1`, then for each file, ascending by the UTF-8
 * bytes of its label, the line `<label> NUL <size in bytes> NUL <SHA-256 of its content, hex>`; each line ends with LF.
 * Labels are `catalog/<file name>` for the catalog file, `room/<path below src/tools>` for each module of this
 * room (it holds the built-in tools and the code that starts programs), and `program<absolute path>` for each program that the
 * actions start. A program is hashed by what its path leads to; an interpreter that a script names is not part of it.
 */
export function digestOf(files: readonly DigestFile[]): string {
  const lines = files
    .map((file) => ({
      key: Buffer.from(file.label),
      line: `${file.label}\0${file.bytes.toString()}\0${file.sha256}\n`,
    }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  return `sha256:${sha256Hex(`writ-tool-digest-v1\n${lines.map(({ line }) => line).join('')}`)}`;
}

/** The catalog file's part; `content` is what was read and parsed, so that both are the same bytes. */
export function digestCatalogFile(path: string, content: Uint8Array): DigestFile {
  return { label: `catalog/${basename(path)}`, bytes: content.byteLength, sha256: sha256Hex(content) };
}

/** A program's part. */
export function digestProgram(path: string): Promise<DigestFile> {
  return digestFile(path, `program${path}`);
}

/** The parts of this installation's own modules: the same for every tool, so read once for a catalog. */
export async function digestRoom(): Promise<DigestFile[]> {
  const self = fileURLToPath(import.meta.url);
  const root = dirname(self);
  const found = await readdir(root, { recursive: true });
  const modules = found.filter((path) => extname(path) === extname(self) && !path.endsWith('.d.ts'));
  return Promise.all(modules.map((path) => digestFile(join(root, path), `room/${path.replaceAll('\\', '/')}`)));
}

async function digestFile(path: string, label: string): Promise<DigestFile> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return { label, bytes, sha256: hash.digest('hex') };
}
