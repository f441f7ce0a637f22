/** `writ tools …`: what can be asked for, and checking one's own catalog entries. */

import type { Command } from 'commander';
import type { Tool } from '../../client/client.ts';
import { addCommand, addGroup, type Invocation, type Session } from '../command.ts';
import { exitCodes, type ExitCode } from '../exit-code.ts';
import type { Screen } from '../screen.ts';
import type { Cell } from '../table.ts';
import { terminalLines, terminalText } from '../terminal-text.ts';

export function addToolCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'tools', 'list tools and their actions, check catalog entries');
  addCommand(group, session, {
    usage: 'list',
    summary: 'list the actions that the server offers',
    connects: true,
    isDefault: true,
    examples: ['writ tools', 'writ tools list --json | jq -r .tool'],
    run: listTools,
  });
  addCommand(group, session, {
    usage: 'show <tool>',
    summary: 'show a tool with the parameters of its actions; also TOOL.ACTION',
    connects: true,
    examples: ['writ tools show tcp', 'writ tools show tcp.connect'],
    run: showTool,
  });
  addCommand(group, session, {
    usage: 'check <directory>',
    summary: 'check catalog files of your own and say what is wrong; exit code 1 where something is',
    examples: ['writ tools check ./tools', 'writ tools check ./tools --json'],
    run: checkTools,
  });
}

async function listTools({ connect, screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const tools = await (await connect()).tools();
  if (screen.json) {
    for (const tool of tools) await screen.value(tool);
    return undefined;
  }
  const rows = tools.flatMap(({ tool, version, actions }) =>
    actions.map(({ action, required_role, effects, description }): Cell[] => [
      `${tool}.${action}`,
      version,
      required_role,
      effects === 'destructive' ? { text: effects, tint: 'red' } : effects,
      description,
    ]),
  );
  const headers = ['ACTION', 'VERSION', 'ROLE', 'EFFECTS'].map((header) => ({ header }));
  if (rows.length > 0) await screen.table([...headers, { header: 'DESCRIPTION', isFlexible: true }], rows);
  return undefined;
}

async function showTool({ args: [name], connect, screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const [toolName = '', actionName] = (name as string).split('.');
  const tool = await (await connect()).tool(toolName);
  const actions = tool.actions.filter(({ action }) => actionName === undefined || action === actionName);
  const shown: Tool = { ...tool, actions };
  if (actions.length === 0) {
    const { AppError } = await import('../../domain/error.ts');
    const known = tool.actions.map(({ action }) => action).join(', ');
    throw new AppError('not_found', `The tool ${toolName} has no action ${actionName ?? ''}: ${known}.`);
  }
  if (screen.json) await screen.value(shown);
  else await showActions(screen, shown);
  return undefined;
}

async function showActions(screen: Screen, { tool, version, digest, description, actions }: Tool): Promise<void> {
  await screen.pairs([
    ['tool', tool],
    ['version', version],
    ['digest', digest],
    ['about', description],
  ]);
  for (const action of actions) {
    await screen.lines(['', screen.style('bold', terminalText(`${tool}.${action.action}`))]);
    await screen.pairs([
      ['about', action.description],
      ['role', action.required_role],
      ['effects', action.effects],
      ['timeout', `${action.timeout_s.toString()} s`],
    ]);
    await screen.lines(parameterLines(action.parameters));
  }
}

/** The members of a payload, the required ones marked; the whole schema is in `--json`. */
function parameterLines({ properties, required }: Record<string, unknown>): string[] {
  if (typeof properties !== 'object' || properties === null) return [];
  const needed = new Set(Array.isArray(required) ? (required as unknown[]) : []);
  return Object.entries(properties).map(([name, schema]) => {
    const facts = typeof schema === 'object' && schema !== null ? (schema as Record<string, unknown>) : {};
    const { type, description } = facts;
    const kind = Array.isArray(facts['enum']) ? facts['enum'].join('|') : typeof type === 'string' ? type : 'any';
    const about = typeof description === 'string' ? `  ${description}` : '';
    return terminalText(`  ${name}=${kind}${needed.has(name) ? ' (required)' : ''}${about}`);
  });
}

async function checkTools({ args: [directory], screen }: Invocation<object>): Promise<ExitCode | undefined> {
  const { checkCatalogDirectory } = await import('../../tools/check.ts');
  const report = await checkCatalogDirectory(directory as string);
  if (screen.json) {
    await screen.value(report);
    return report.ok ? undefined : exitCodes.bad;
  }
  const rows = report.files.flatMap(({ tool, version, actions }) =>
    actions.map(({ action, required_role, effects, timeout_s, targets }): Cell[] => [
      `${tool}.${action}`,
      version,
      required_role,
      effects,
      `${timeout_s.toString()} s`,
      targets.map(({ path, kind }) => `${path} (${kind})`).join(', ') || 'none',
    ]),
  );
  const headers = ['ACTION', 'VERSION', 'ROLE', 'EFFECTS', 'TIMEOUT'].map((header) => ({ header }));
  if (rows.length > 0) await screen.table([...headers, { header: 'TARGETS', isFlexible: true }], rows);
  const problems = report.problems.flatMap(({ file, path, message, hint }) => [
    terminalLines(`${file}${path === '' ? '' : `: ${path}`}: ${message}`),
    ...(hint === '' ? [] : [terminalLines(`  ${hint}`)]),
  ]);
  for (const line of problems) screen.note(line);
  const count = report.problems.length;
  if (!report.ok)
    screen.note(`${count.toString()} ${count === 1 ? 'mistake' : 'mistakes'}: the catalog cannot be used as it is`);
  return report.ok ? undefined : exitCodes.bad;
}
