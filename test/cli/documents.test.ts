import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { exitCodes, exitHelp } from '../../src/cli/exit-code.ts';
import { createProgram } from '../../src/cli/program.ts';
import type { CliIo } from '../../src/cli/screen.ts';

/** Told once, above the commands. */
const common = ['--json', '--url', '--token-file', '--cacert'];

describe('docs/cli.md', () => {
  let text: string;
  let commands: { path: string; command: Command }[];
  before(async () => {
    text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
    const io = { stdout: new PassThrough(), stderr: new PassThrough() } as unknown as CliIo;
    commands = walk(createProgram({ io, exitCode: 0 }), 'writ');
  });

  function walk(parent: Command, prefix: string): { path: string; command: Command }[] {
    return parent.commands.flatMap((command) => {
      const path = `${prefix} ${command.name()}`;
      return command.commands.length > 0 ? walk(command, path) : [{ path: `${path}${argumentsOf(command)}`, command }];
    });
  }

  function argumentsOf(command: Command): string {
    const names = command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
      return argument.required ? `<${name}>` : `[${name}]`;
    });
    return names.map((name) => ` ${name}`).join('');
  }

  it('has every command with its arguments, and no other', () => {
    const headings = [...text.matchAll(/^### `(.+)`$/gm)].map(([, heading]) => heading);
    expect(headings).to.deep.equal(commands.map(({ path }) => path));
  });

  it('has every option of each command with its meaning, and no other', () => {
    const sections = text.split(/^#+ `writ/m);
    for (const { path, command } of commands) {
      const section = sections.find((one) => `writ${one}`.startsWith(`${path}\``)) ?? '';
      const rows = [...section.matchAll(/^\| `(.+?)` +\| (.+?) +\|$/gm)].map(([, flags = '', meaning = '']) => [
        flags,
        meaning,
      ]);
      const own = command.options.filter(({ long }) => !common.includes(long ?? ''));
      const told = own.map(({ flags, description, mandatory, defaultValue }) => {
        const byDefault = defaultValue === undefined ? '' : ` (default ${String(defaultValue)})`;
        return [flags, `${description}${mandatory ? ' (required)' : ''}${byDefault}`];
      });
      expect(rows, path).to.deep.equal(told);
      expect(section, path).to.include(command.description());
    }
  });

  it('says which options all commands have', () => {
    for (const { path, command } of commands) {
      const given = command.options.map(({ long }) => long);
      expect(given, path).to.include('--json');
      for (const flag of given.filter((long) => common.includes(long ?? '')))
        expect(text).to.include(`\`${flag ?? ''}`);
    }
  });

  it('has every exit code with its meaning', () => {
    const rows = [...text.matchAll(/^\| (\d) +\| (.+?) +\|$/gm)].map(
      ([, code = '', meaning = '']) => `  ${code}  ${meaning}`,
    );
    expect(rows).to.deep.equal(exitHelp.split('\n').slice(1));
    expect(rows).to.have.length(Object.keys(exitCodes).length);
  });
});
