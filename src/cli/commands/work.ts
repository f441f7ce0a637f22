/** `writ work`: a node as a process of its own. */

import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';
import { exitCodes } from '../exit-code.ts';

interface WorkFlags {
  config?: string;
  data?: string;
  name?: string;
  orchestrator?: string;
  slots?: string;
}

export function addWorkCommand(program: Command, session: Session): void {
  addCommand<WorkFlags>(program, session, {
    usage: 'work',
    summary: 'run a node until it is told to stop: it joins, takes orders, and answers',
    examples: [
      'JOIN_TOKEN_FILE=node.token writ work --orchestrator https://writ.example.org --name scanner-1',
      'writ work --data /var/lib/writ-node',
    ],
    options: (command) =>
      command
        .option('--orchestrator <url>', 'address of the API (ORCHESTRATOR_URL)')
        .option('--name <name>', 'name of the node (NODE_NAME)')
        .option('--data <directory>', 'data folder (NODE_DATA_DIR); one process at a time')
        .option('--slots <count>', 'orders that run at once (NODE_SLOTS)')
        .option('--config <file>', 'settings file (WRIT_CONFIG)'),
    run: async ({ options, io: { environment }, screen }) => {
      const { runWork } = await import('../../app/run-work.ts');
      const isAskedFor = await runWork({
        config: options.config,
        flags: {
          orchestrator_url: options.orchestrator,
          node_name: options.name,
          node_data_dir: options.data,
          node_slots: options.slots,
        },
        ...(environment && { environment }),
        json: screen.json,
      });
      return isAskedFor ? undefined : exitCodes.bad;
    },
  });
}
