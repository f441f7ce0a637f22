/** `npm run quickstart`: installs and builds what is missing, then runs the quickstart. Needs Node and npm, nothing else. */

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Writ needs Node 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

const installed = join(root, 'node_modules', '.package-lock.json');
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs) {
  run('Installing packages …', 'npm', ['ci', '--loglevel', 'error']);
}
run('Building …', 'npm', ['run', '--silent', 'build']);
const args = ['--enable-source-maps', join(root, 'dist', 'cli', 'quickstart', 'main.js'), ...process.argv.slice(2)];
const { status, signal } = spawnSync(process.execPath, args, { stdio: 'inherit' });
process.exitCode = signal === null ? (status ?? 1) : 1;

function run(what, command, args) {
  console.error(what);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return;
  console.error(`"${command} ${args.join(' ')}" failed. Mend what it says, and run "npm run quickstart" again.`);
  process.exit(1);
}
