/** `writ scope …`: which tools, against which targets, in which time principals may work. */

import type { Command } from 'commander';
import type { Scope } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import { addCommand, addGroup, type Session } from '../command.ts';
import { readText } from '../task-input.ts';
import { terminalText } from '../terminal-text.ts';

export function addScopeCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'scope', 'list and set scopes: tools, targets and times that bound a principal');
  addCommand(group, session, {
    usage: 'list',
    summary: 'list scopes',
    connects: true,
    examples: ['writ scope list'],
    run: async ({ connect, screen }) => {
      const scopes = await (await connect()).scopes();
      if (screen.json) {
        for (const scope of scopes) await screen.value(scope);
        return undefined;
      }
      if (scopes.length === 0) screen.note('no scopes; "writ scope set FILE" makes one');
      const rows = scopes.map(({ name, tools, targets, not_before, not_after }) => [
        name,
        tools.join(' '),
        targets.join(' '),
        `${not_before ?? ''}..${not_after ?? ''}`,
      ]);
      const columns = [
        { header: 'NAME' },
        { header: 'TOOLS' },
        { header: 'TARGETS', isFlexible: true },
        { header: 'WINDOW' },
      ];
      if (rows.length > 0) await screen.table(columns, rows);
      return undefined;
    },
  });
  addCommand(group, session, {
    usage: 'set <file>',
    summary: 'make or replace a scope from a YAML or JSON file (- is standard input)',
    connects: true,
    examples: [
      'writ scope set lab.yaml',
      'echo \'{"name": "lab", "tools": ["tcp.*"], "targets": ["10.0.0.0/8"]}\' | writ scope set -',
    ],
    run: async ({ args: [file], connect, io, screen }) => {
      const scope = await parseScope(await readText(file as string, io), file as string);
      const stored = await (await connect()).setScope(scope);
      if (screen.json) await screen.value(stored);
      else screen.note(`scope ${terminalText(stored.name)} is set`);
      return undefined;
    },
  });
}

/** Only what the address of the call needs is looked at here: the server says what else is wrong. */
async function parseScope(text: string, file: string): Promise<Scope> {
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw new AppError(
      'invalid',
      `${file} is neither YAML nor JSON: ${error instanceof Error ? error.message : ''}`,
      {},
      error,
    );
  }
  if (typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string')
    return value as Scope;
  throw new AppError('invalid', `${file} is no scope: it has name, tools and targets.`);
}
