/** Runs one command line, from its arguments to its exit status. */

import type { Session } from './command.ts';
import { exitCodes, type ExitCode } from './exit-code.ts';
import { tellFailure } from './failure.ts';
import { createProgram } from './program.ts';
import type { CliIo } from './screen.ts';

/** Never throws: what goes wrong is told on stderr. `args` are those after the program's name. */
export async function runCli(args: readonly string[], io: CliIo): Promise<ExitCode> {
  const session: Session = { io, exitCode: exitCodes.ok };
  try {
    await createProgram(session).parseAsync([...args], { from: 'user' });
    return session.exitCode;
  } catch (error) {
    return tellFailure(error, io, args.includes('--json'));
  }
}
