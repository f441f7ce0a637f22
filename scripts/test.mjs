/**
 * Runs the tests, after making sure of what they need. Works in a fresh clone with nothing but Node.
 *
 *   node scripts/test.mjs [--coverage] [--parts embedded|real|both] [--except PART]... [PATTERN]...
 *
 * A pattern is a part of a test file's path; without one all run. The end-to-end tests run twice, on embedded parts and on real ones,
 * unless --parts says otherwise. Ends with the line `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkNode, installPackages, installPrograms, ROOT, run } from './prepare.mjs';

/** Tests under these start the built program. */
const NEED_BUILD = /^test\/(end-to-end|faults|cli)\//;
/** Tests under these run on embedded parts, and again on RabbitMQ and OpenBao. */
const ON_BOTH = /^test\/end-to-end\//;

const { values, positionals } = parseArgs({
  options: {
    coverage: { type: 'boolean', default: false },
    except: { type: 'string', multiple: true, default: [] },
    parts: { type: 'string', default: 'both' },
  },
  allowPositionals: true,
});

try {
  process.exitCode = main();
} catch (error) {
  fail(error.message);
}

function main() {
  checkNode();
  installPackages();
  const missing = installPrograms();
  for (const { name, needed } of missing) console.log(`${name} is not installed: skipped is ${needed}.`);
  const files = selectFiles();
  if (files.some((file) => NEED_BUILD.test(file))) run('npm', ['run', '--silent', 'build']);
  const embedded = values.parts === 'real' ? [] : files;
  const real = values.parts === 'embedded' || missing.length > 0 ? [] : files.filter((file) => ON_BOTH.test(file));
  if (embedded.length + real.length === 0) throw new Error('no test is left to run');
  const runs = [];
  if (embedded.length > 0) runs.push(runMocha(embedded, { coverage: values.coverage, parts: 'embedded' }));
  if (real.length > 0) {
    console.log('\nThe end-to-end tests again, on RabbitMQ and OpenBao:');
    runs.push(runMocha(real, { coverage: false, parts: 'real' }));
  }
  const [passed, failed, skipped] = ['passed', 'failed', 'skipped'].map((what) =>
    runs.reduce((sum, counts) => sum + counts[what], 0),
  );
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return runs.every(({ status }) => status === 0) && failed === 0 ? 0 : 1;
}

function selectFiles() {
  const all = readdirSync(join(ROOT, 'test'), { recursive: true })
    .map((name) => `test/${String(name).replaceAll('\\', '/')}`)
    .filter((name) => name.endsWith('.test.ts'))
    .sort();
  const files = all
    .filter((name) => positionals.length === 0 || positionals.some((pattern) => name.includes(pattern)))
    .filter((name) => !values.except.some((pattern) => name.includes(pattern)));
  if (files.length === 0) throw new Error(`no test file's path contains ${positionals.join(' or ')}`);
  return files;
}

function runMocha(selected, { coverage, parts }) {
  const folder = mkdtempSync(join(tmpdir(), 'writ-test-counts-'));
  const counts = join(folder, 'counts.json');
  const reporter = ['--reporter', join(ROOT, 'scripts/reporter.cjs'), '--reporter-option', `file=${counts}`];
  const mocha = [join(ROOT, 'node_modules/mocha/bin/mocha.js'), ...reporter, ...selected];
  const command = coverage ? [join(ROOT, 'node_modules/c8/bin/c8.js'), process.execPath, ...mocha] : mocha;
  const env = { ...process.env, WRIT_TEST_PARTS: parts };
  const { status } = spawnSync(process.execPath, command, { cwd: ROOT, stdio: 'inherit', env });
  const run = existsSync(counts) ? JSON.parse(readFileSync(counts, 'utf8')) : { passed: 0, failed: 1, skipped: 0 };
  rmSync(folder, { recursive: true });
  if (status !== 0 && run.failed === 0) console.log(`No test failed, but the run did (status ${status}): see above.`);
  return { ...run, status };
}

function fail(message) {
  console.error(message);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exit(1);
}
