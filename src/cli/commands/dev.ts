/** `writ dev`: orchestrator and node in one process, on embedded parts. */

import { join } from 'node:path';
import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';

interface DevFlags {
  data?: string;
  http?: string;
  https?: string;
  config?: string;
}

export function addDevCommand(program: Command, session: Session): void {
  addCommand<DevFlags>(program, session, {
    usage: 'dev',
    summary: 'run orchestrator and node here, on embedded parts, until Ctrl-C',
    examples: ['writ dev', 'writ dev --data /tmp/second --http 127.0.0.1:9080', 'writ dev --json > dev.json'],
    options: (command) =>
      command
        .option('--data <directory>', 'data folder (default .writ); one process at a time')
        .option('--http <host:port>', 'address of the API (HTTP_LISTEN); port 0 takes a free one')
        .option('--https <host:port>', 'address of the API over TLS (HTTPS_LISTEN)')
        .option('--config <file>', 'settings file (WRIT_CONFIG)'),
    run: async ({ options, io, screen }) => {
      const { runDev } = await import('../../app/run-dev.ts');
      await runDev({
        dataDir: options.data ?? join(io.folder, '.writ'),
        config: options.config,
        flags: { http_listen: options.http, https_listen: options.https },
        json: screen.json,
      });
      return undefined;
    },
  });
}
