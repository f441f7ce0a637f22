/**
 * Runs what works on RabbitMQ, OpenBao and PostgreSQL, after making sure of what they need. Works in a fresh clone with nothing but Node.
 *
 *   node scripts/real.mjs services|dev-real [ARGUMENT]...
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkNode, installPackages, installPrograms, ROOT, run } from './prepare.mjs';

const [what = '', ...rest] = process.argv.slice(2);
try {
  checkNode();
  installPackages();
  const missing = installPrograms();
  if (missing.length > 0) throw new Error(`${missing.map(({ name }) => name).join(' and ')} must be installed first`);
  if (what === 'dev-real') run('npm', ['run', '--silent', 'build']);
  process.exitCode = await end(join(ROOT, 'scripts', `${what}.ts`), rest);
} catch (error) {
  console.error(`${what}: ${error.message}`);
  process.exitCode = 1;
}

/** The program gets the signals of the terminal itself; this only waits for its end. */
function end(program, args) {
  const child = spawn(process.execPath, ['--import=tsx', program, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
