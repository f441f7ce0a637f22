/** Installs packages of the Python package index into a virtual environment of their own. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const INSTALL_LIMIT_MS = 300_000;

/**
 * Makes the environment in `folder`, which may be renamed later: its `bin/python` works wherever it lies. `requirements` are words for
 * `pip install`; what they depend on is not installed, and nothing is built. Fails with the last line of what pip or Python says.
 */
export async function makePythonEnvironment(folder: string, requirements: readonly string[]): Promise<void> {
  const install = ['-m', 'pip', 'install', '--no-deps', '--only-binary', ':all:', '--disable-pip-version-check'];
  try {
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin/python'), [...install, ...requirements], { timeout: INSTALL_LIMIT_MS });
  } catch (error) {
    const reason = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? String(error);
    throw new Error(reason, { cause: error });
  }
}
