/**
 * Runs the tests, after making sure of what they need. Works in a fresh clone with nothing but Node.
 *
 *   node scripts/test.mjs [--coverage] [--except PART]... [PATTERN]...
 *
 * A pattern is a part of a test file's path; without one all run. Ends with the line `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Programs of the system, and what is skipped without them. */
const PROGRAMS = {
  python3: 'the second verifier, which is written in Python',
  openssl: 'what is checked against OpenSSL',
};
/** Tests under these start the built program. */
const NEED_BUILD = /^test\/(end-to-end|faults|cli)\//;

const { values, positionals } = parseArgs({
  options: { coverage: { type: 'boolean', default: false }, except: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});

checkNode();
installPackages();
installPrograms();
const files = selectFiles();
if (files.some((file) => NEED_BUILD.test(file))) run('npm', ['run', '--silent', 'build']);
process.exitCode = runMocha(files);

function checkNode() {
  const { engines } = readJson('package.json');
  const wanted = engines.node.replace('>=', '').split('.').map(Number);
  const present = process.versions.node.split('.').map(Number);
  const tooOld = present[0] < wanted[0] || (present[0] === wanted[0] && present[1] < wanted[1]);
  if (tooOld)
    fail(`Node ${engines.node} is needed, this is ${process.versions.node}: install a newer one (https://nodejs.org)`);
}

function installPackages() {
  if (isInstalled()) return;
  console.log('Installing packages (npm ci) …');
  run('npm', ['ci', '--no-fund', '--no-audit']);
}

/** Compares what was installed with the lock file, package by package: times of files tell nothing in a fresh clone. */
function isInstalled() {
  const path = 'node_modules/.package-lock.json';
  if (!existsSync(join(ROOT, path))) return false;
  const wanted = readJson('package-lock.json').packages;
  const present = readJson(path).packages;
  const differs = Object.entries(present).some(([name, { version }]) => wanted[name]?.version !== version);
  const lacks = Object.entries(wanted).some(([name, entry]) => name !== '' && !entry.optional && !(name in present));
  return !differs && !lacks;
}

function installPrograms() {
  const missing = () => Object.keys(PROGRAMS).filter((name) => !isOnPath(name));
  if (missing().length === 0) return;
  if (process.getuid?.() === 0 && isOnPath('apt-get')) {
    console.log(`Installing ${missing().join(' and ')} (apt-get) …`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const options = { env, stdio: 'ignore', timeout: 180_000 };
    const install = () => spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...missing()], options);
    if (install().status !== 0) {
      spawnSync('apt-get', ['update'], options);
      install();
    }
  }
  for (const name of missing()) console.log(`${name} is not installed: skipped is ${PROGRAMS[name]}.`);
}

function isOnPath(program) {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
}

function selectFiles() {
  const all = readdirSync(join(ROOT, 'test'), { recursive: true })
    .map((name) => `test/${String(name).replaceAll('\\', '/')}`)
    .filter((name) => name.endsWith('.test.ts'))
    .sort();
  const files = all
    .filter((name) => positionals.length === 0 || positionals.some((pattern) => name.includes(pattern)))
    .filter((name) => !values.except.some((pattern) => name.includes(pattern)));
  if (files.length === 0) fail(`no test file's path contains ${positionals.join(' or ')}`);
  return files;
}

function runMocha(selected) {
  const folder = mkdtempSync(join(tmpdir(), 'writ-test-counts-'));
  const counts = join(folder, 'counts.json');
  const reporter = ['--reporter', join(ROOT, 'scripts/reporter.cjs'), '--reporter-option', `file=${counts}`];
  const mocha = [join(ROOT, 'node_modules/mocha/bin/mocha.js'), ...reporter, ...selected];
  const command = values.coverage ? [join(ROOT, 'node_modules/c8/bin/c8.js'), process.execPath, ...mocha] : mocha;
  const { status } = spawnSync(process.execPath, command, { cwd: ROOT, stdio: 'inherit' });
  const { passed, failed, skipped } = existsSync(counts)
    ? JSON.parse(readFileSync(counts, 'utf8'))
    : { passed: 0, failed: 1, skipped: 0 };
  rmSync(folder, { recursive: true });
  if (status !== 0 && failed === 0) console.log(`No test failed, but the run did (status ${status}): see above.`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return status === 0 && failed === 0 ? 0 : 1;
}

function readJson(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) fail(`${program} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`);
}

function fail(message) {
  console.error(message);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
