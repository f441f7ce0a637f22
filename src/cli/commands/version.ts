/** `writ version`: which version this is, on which Node. */

import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';
import { readVersion } from '../read-version.ts';
import { terminalText } from '../terminal-text.ts';

export function addVersionCommand(program: Command, session: Session): void {
  addCommand(program, session, {
    usage: 'version',
    summary: 'show the version',
    examples: ['writ version', 'writ version --json'],
    run: async ({ screen }) => {
      const version = readVersion();
      if (screen.json) await screen.value({ version, node: process.version });
      else await screen.lines([`writ ${terminalText(version)} (node ${process.version})`]);
      return undefined;
    },
  });
}
