/** `writ whoami`: who the server takes the caller for. */

import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';
import { relativeTime } from '../duration.ts';

export function addWhoAmICommand(program: Command, session: Session): void {
  addCommand(program, session, {
    usage: 'whoami',
    summary: 'show your name, roles, permissions and scope on the server',
    connects: true,
    examples: ['writ whoami', 'WRIT_TOKEN_FILE=ci.token writ whoami --json'],
    run: async ({ connect, screen }) => {
      const who = await (await connect()).whoami();
      if (screen.json) {
        await screen.value(who);
        return undefined;
      }
      await screen.pairs([
        ['name', who.id],
        ['kind', who.kind],
        ['roles', who.roles.join(', ')],
        ['permissions', who.permissions.join(', ')],
        ['scope', who.scope ?? 'none'],
        ['credential', who.credential_id],
        [
          'expires',
          who.expires_at === null ? 'never' : `${who.expires_at} (${relativeTime(who.expires_at, screen.nowMs)})`,
        ],
      ]);
      return undefined;
    },
  });
}
