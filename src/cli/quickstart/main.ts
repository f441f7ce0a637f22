/** The entry of the quickstart, which the script of that name runs when everything is built. */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../../domain/clock.ts';
import { wantsColors } from '../../settings/terminal-settings.ts';
import { tellFailure } from '../failure.ts';
import { Screen } from '../screen.ts';
import { runQuickstart } from './quickstart.ts';

const io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  clock: systemClock,
  folder: process.cwd(),
};

try {
  const { values } = parseArgs({
    options: { exit: { type: 'boolean' }, data: { type: 'string' }, http: { type: 'string' } },
  });
  const holds = await runQuickstart({
    dataDir: values.data ?? join(process.cwd(), '.writ'),
    httpListen: values.http,
    exit: values.exit === true,
    screen: new Screen(io, { json: false, wantsColors: wantsColors(undefined) }),
  });
  process.exitCode = holds ? 0 : 1;
} catch (error) {
  process.exitCode = tellFailure(error, io, false);
}
