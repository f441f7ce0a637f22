/** `writ init` and `writ serve`: an orchestrator on real parts. */

import type { Command } from 'commander';
import { addCommand, type Session } from '../command.ts';

interface InitFlags {
  config?: string;
  tokenOut: string;
  policyOut: string;
}

export function addServeCommands(program: Command, session: Session): void {
  addCommand<InitFlags>(program, session, {
    usage: 'init',
    summary: 'prepare an installation once: schema, log, first credential, policy; twice changes nothing',
    examples: ['writ init --token-out admin.token --policy-out audit.policy'],
    options: (command) =>
      command
        .option('--token-out <file>', "file for the administrator's token, readable by you alone", 'admin.token')
        .option('--policy-out <file>', 'file for the policy by which the log is verified', 'audit.policy')
        .option('--config <file>', 'settings file (WRIT_CONFIG)'),
    run: async ({ options, io: { environment }, screen }) => {
      const { initialize } = await import('../../app/init.ts');
      const { tokenOut: tokenPath, policyOut: policyPath, config } = options;
      const done = await initialize({ tokenPath, policyPath, config, ...(environment && { environment }) });
      if (screen.json) await screen.value({ ...done, token_file: tokenPath, policy_file: policyPath });
      else screen.note(`The log is ${done.origin}. Token in ${tokenPath}, policy in ${policyPath}: keep both.`);
      return undefined;
    },
  });
  addCommand<{ config?: string; http?: string }>(program, session, {
    usage: 'serve',
    summary: 'run an orchestrator on PostgreSQL, RabbitMQ and Vault until it is told to stop',
    examples: ['writ serve --config /etc/writ/writ.yaml', 'DATABASE_URL_FILE=/run/secrets/database writ serve'],
    options: (command) =>
      command
        .option('--http <host:port>', 'address of the API (HTTP_LISTEN)')
        .option('--config <file>', 'settings file (WRIT_CONFIG)'),
    run: async ({ options, io: { environment }, screen }) => {
      const { runServe } = await import('../../app/run-serve.ts');
      await runServe({
        config: options.config,
        flags: { http_listen: options.http },
        ...(environment && { environment }),
        json: screen.json,
      });
      return undefined;
    },
  });
}
