/** The entry of the command `writ`. */

import { systemClock } from '../domain/clock.ts';
import { runCli } from './run-cli.ts';

// Whoever reads the output may stop reading: `writ task list | head`.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  folder: process.cwd(),
});
