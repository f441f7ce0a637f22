/** `writ config`: the settings that hold here, and where each comes from. */

import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';

export function addConfigCommand(program: Command, session: Session): void {
  addCommand<{ config?: string; changed?: boolean }>(program, session, {
    usage: 'config',
    summary: 'show the effective settings with their sources, secrets masked',
    examples: [
      'writ config',
      'writ config --changed',
      'HTTP_LISTEN=127.0.0.1:9000 writ config --json | jq .http_listen.value',
    ],
    options: (command) =>
      command
        .option('--config <file>', 'settings file (WRIT_CONFIG)')
        .option('--changed', 'only those that are not the default'),
    run: async ({ options, io, screen }) => {
      const { describeSettings } = await import('../../settings/settings.ts');
      const { environment } = io;
      const described = describeSettings({
        file: options.config,
        ...(environment === undefined ? {} : { environment }),
      });
      const shown = described.filter(({ source }) => options.changed !== true || source !== 'default');
      if (screen.json) {
        await screen.value(Object.fromEntries(shown.map(({ key, value, source }) => [key, { value, source }])));
        return undefined;
      }
      const rows = shown.map(({ key, environment: variable, value, source }) => [
        key,
        typeof value === 'string' ? value : JSON.stringify(value),
        source === 'default' ? source : { text: source, tint: 'cyan' as const },
        variable,
      ]);
      await screen.table(
        [{ header: 'SETTING' }, { header: 'VALUE', isFlexible: true }, { header: 'SOURCE' }, { header: 'VARIABLE' }],
        rows,
      );
      return undefined;
    },
  });
}
