/** The whole command line: every command in the order in which help lists them. */

import { Command } from 'commander';
import type { Session } from './command.ts';
import { addAuditCommands } from './commands/audit.ts';
import { addConfigCommand } from './commands/config.ts';
import { addDevCommand } from './commands/dev.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addKeyCommands } from './commands/keys.ts';
import { addNodesCommand } from './commands/nodes.ts';
import { addScopeCommands } from './commands/scope.ts';
import { addServeCommands } from './commands/serve.ts';
import { addSubmitCommand } from './commands/submit.ts';
import { addTaskCommands } from './commands/task.ts';
import { addTelemetryCommands } from './commands/telemetry.ts';
import { addTokenCommands } from './commands/token.ts';
import { addToolCommands } from './commands/tools.ts';
import { addVersionCommand } from './commands/version.ts';
import { addWhoAmICommand } from './commands/whoami.ts';
import { addWorkCommand } from './commands/work.ts';
import { readVersion } from './read-version.ts';
import { terminalLines } from './terminal-text.ts';

const description = `Control plane for security automation: every order signed, every decision in a log that verifies offline.

The server is the one at --url, WRIT_URL, .writ/url or http://127.0.0.1:8080, and the credential is that of
--token-file, WRIT_TOKEN, WRIT_TOKEN_FILE or .writ/admin.token.`;

/** Throws a CommanderError instead of ending the process. Exported for what compares documents with it. */
export function createProgram(session: Session): Command {
  const { stdout, stderr } = session.io;
  const program = new Command('writ')
    .description(description)
    .version(readVersion(), '-V, --version', 'show the version')
    .exitOverride()
    .showHelpAfterError('(add --help for the options and for examples)')
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      // What is wrong is told with words of the caller's, which may come from anywhere.
      outputError: (text, write) => {
        write(terminalLines(text.replace(/^error: /, 'writ: ')));
      },
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  addDevCommand(program, session);
  addServeCommands(program, session);
  addWorkCommand(program, session);
  addDoctorCommand(program, session);
  addSubmitCommand(program, session);
  addTaskCommands(program, session);
  addToolCommands(program, session);
  addAuditCommands(program, session);
  addTelemetryCommands(program, session);
  addTokenCommands(program, session);
  addScopeCommands(program, session);
  addKeyCommands(program, session);
  addNodesCommand(program, session);
  addWhoAmICommand(program, session);
  addConfigCommand(program, session);
  addVersionCommand(program, session);
  return program;
}
