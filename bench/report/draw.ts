/** Has a picture drawn by the program beside this folder. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { hasPackage } from '../systems/available.ts';

const program = fileURLToPath(new URL('../picture.mjs', import.meta.url));

/** Writes an SVG; answers why there is none, where that is so. */
export async function draw(picture: {
  kind: 'vega' | 'vega-lite';
  spec: object;
  file: string;
}): Promise<string | undefined> {
  if (!hasPackage('vega') || !hasPackage('vega-lite')) return 'no pictures: Vega is not installed';
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  child.stdin.end(JSON.stringify({ kind: picture.kind, spec: picture.spec }));
  const svg = await text(child.stdout);
  const [code] = (await exited) as [number | null];
  if (code !== 0) return `${picture.file} could not be drawn: see above`;
  await writeFile(picture.file, `${svg}\n`);
  return undefined;
}
