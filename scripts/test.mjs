/**
 * Runs the tests, after making sure of what they need. Works in a fresh clone with nothing but Node.
 *
 *   node scripts/test.mjs [--coverage] [--except PART]... [PATTERN]...
 *
 * A pattern is a part of a test file's path; without one all run. Ends with the line `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Packages of the system: a command that succeeds where they are there, and what is skipped without them. */
const PROGRAMS = {
  python3: { probe: 'command -v python3', skipped: 'the second verifier, which is written in Python' },
  openssl: { probe: 'command -v openssl', skipped: 'what is checked against OpenSSL, and what needs real services' },
  'rabbitmq-server': {
    probe: 'test -x /usr/lib/rabbitmq/bin/rabbitmq-server || command -v rabbitmq-server',
    skipped: 'what needs real services',
  },
  'python3-venv': {
    probe: 'command -v bao || command -v vault || python3 -c "import ensurepip"',
    skipped: 'what needs real services',
  },
};
/** Asked by Debian before it starts the service of a package that it installs. */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';
/** Tests under these start the built program. */
const NEED_BUILD = /^test\/(end-to-end|faults|cli)\//;

const { values, positionals } = parseArgs({
  options: { coverage: { type: 'boolean', default: false }, except: { type: 'string', multiple: true, default: [] } },
  allowPositionals: true,
});

checkNode();
installPackages();
installPrograms();
installOpenBao();
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
  const missing = () => Object.keys(PROGRAMS).filter((name) => !succeeds(PROGRAMS[name].probe));
  if (missing().length === 0) return;
  if (process.getuid?.() === 0 && succeeds('command -v apt-get')) {
    console.log(`Installing ${missing().join(' and ')} (apt-get) …`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const options = { env, stdio: 'ignore', timeout: 180_000 };
    const install = () => spawnSync('apt-get', ['install', '-y', '--no-install-recommends', ...missing()], options);
    withoutStartingServices(() => {
      if (install().status !== 0) {
        spawnSync('apt-get', ['update'], options);
        install();
      }
    });
  }
  for (const name of missing()) console.log(`${name} is not installed: skipped is ${PROGRAMS[name].skipped}.`);
}

/**
 * The tests start brokers of their own; the machine's is for whoever runs the machine to start. A policy that is there is left as it
 * is. Ctrl-C ends apt-get, but not this before it has taken its own away.
 */
function withoutStartingServices(act) {
  if (existsSync(SERVICE_POLICY)) return act();
  const hold = () => {};
  process.on('SIGINT', hold);
  writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    act();
  } finally {
    rmSync(SERVICE_POLICY);
    process.off('SIGINT', hold);
  }
}

function installOpenBao() {
  const { status } = spawnSync(process.execPath, ['--import=tsx', 'scripts/install-openbao.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) console.log('OpenBao is not installed: skipped is what needs real services.');
}

function succeeds(command) {
  return spawnSync('sh', ['-c', command], { stdio: 'ignore' }).status === 0;
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
