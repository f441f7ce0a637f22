/** How a command is made: its help, the options that all have, and what it is run with. */

import type { Command } from 'commander';
import type { WritClient } from '../client/client.ts';
import { wantsColors } from '../settings/terminal-settings.ts';
import { exitCodes, exitHelp, type ExitCode } from './exit-code.ts';
import { Screen, type CliIo } from './screen.ts';

/** The run of one command line. */
export interface Session {
  io: CliIo;
  exitCode: ExitCode;
}

/** What a command's action works with. */
export interface Invocation<Options> {
  options: Options;
  /** In the order of the usage; a list where the argument takes several. */
  args: readonly (string | string[] | undefined)[];
  io: CliIo;
  screen: Screen;
  /** The client for the server that options, environment or folder name; loaded here. */
  connect: () => Promise<WritClient>;
}

export interface CommandDefinition<Options> {
  /** Name and arguments: `get <task-id>`. */
  usage: string;
  summary: string;
  examples: readonly string[];
  /** Whether it talks to a server and so takes the options of the connection. */
  connects?: boolean;
  /** Whether it runs where only its group is named. */
  isDefault?: boolean;
  options?: (command: Command) => void;
  /** Answers the exit code where it is not 0. */
  run: (invocation: Invocation<Options>) => Promise<ExitCode | undefined>;
}

interface CommonOptions {
  json?: boolean;
  url?: string;
  tokenFile?: string;
  cacert?: string;
}

/** Adds a command to the program or to a group of it. */
export function addCommand<Options>(parent: Command, session: Session, definition: CommandDefinition<Options>): void {
  const { usage, summary, examples, connects = false, isDefault = false, options, run } = definition;
  const command = parent.command(usage, { isDefault }).summary(summary).description(sentence(summary));
  options?.(command);
  command.option('--json', 'one JSON document, or one a line for lists, on stdout');
  if (connects) addConnectionOptions(command);
  command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}\n\n${exitHelp}`);
  command.action(async () => {
    const given: Options & CommonOptions = command.opts();
    const { io } = session;
    const screen = new Screen(io, { json: given.json === true, wantsColors: wantsColors(io.environment) });
    const code = await run({
      options: given,
      args: command.processedArgs as (string | string[] | undefined)[],
      io,
      screen,
      connect: () => connect(given, io, screen),
    });
    session.exitCode = code ?? exitCodes.ok;
  });
}

/** A command that only holds others. */
export function addGroup(parent: Command, name: string, summary: string): Command {
  return parent.command(name).summary(summary).description(sentence(summary));
}

function addConnectionOptions(command: Command): void {
  command
    .optionsGroup('Connection:')
    .option('--url <url>', 'address of the server (WRIT_URL; .writ/url; http://127.0.0.1:8080)')
    .option('--token-file <file>', 'file with the token (WRIT_TOKEN or WRIT_TOKEN_FILE; .writ/admin.token)')
    .option('--cacert <file>', 'certificate authority of the server, PEM (WRIT_CACERT)');
}

/** Loads what talks to a server only here: commands that work offline never do. */
async function connect(options: CommonOptions, io: CliIo, screen: Screen): Promise<WritClient> {
  const { isLoopbackUrl, readClientSettings } = await import('../settings/client-settings.ts');
  const { WritClient } = await import('../client/client.ts');
  const settings = await readClientSettings({
    url: options.url,
    tokenFile: options.tokenFile,
    caCertFile: options.cacert,
    environment: io.environment,
    folder: io.folder,
  });
  const { url, token, caCert } = settings;
  if (token !== undefined && /^http:/i.test(url) && !isLoopbackUrl(url)) {
    screen.note('writ: the token goes over the network unencrypted; use an https:// address');
  }
  return new WritClient({
    url,
    ...(token === undefined ? {} : { token }),
    ...(caCert === undefined ? {} : { caCert }),
  });
}

function sentence(summary: string): string {
  return `${summary.slice(0, 1).toUpperCase()}${summary.slice(1)}.`;
}

/** Collects an option that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
