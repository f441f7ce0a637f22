/** Compares the documents that are made from the sources with what they must hold, or writes them with `--write`. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { docPath, generatedDocs } from './generated-docs.ts';

const isWriting = process.argv.includes('--write');
const { files, leftOver } = await generatedDocs();
const differing: string[] = [...leftOver];
for (const [path, text] of files) {
  if ((await readFile(docPath(path), 'utf8').catch(() => undefined)) === text) continue;
  differing.push(path);
  if (!isWriting) continue;
  await mkdir(dirname(docPath(path)), { recursive: true });
  await writeFile(docPath(path), text);
}
if (isWriting) {
  for (const path of leftOver) await rm(docPath(path));
} else if (differing.length > 0) {
  console.error(`These differ from the sources; run "npm run docs" and commit them:\n${differing.join('\n')}`);
  process.exitCode = 1;
}
