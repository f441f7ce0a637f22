/** `writ token …`: credentials of people, integrations and nodes. */

import { rm, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Token, TokenRequest } from '../../client/client.ts';
import { AppError } from '../../domain/error.ts';
import { addCommand, addGroup, collect, type Invocation, type Session } from '../command.ts';
import { parseDurationS, relativeTime } from '../duration.ts';
import type { ExitCode } from '../exit-code.ts';
import type { Cell } from '../table.ts';
import { terminalText } from '../terminal-text.ts';

interface CreateOptions {
  kind: string;
  role?: string[];
  scope?: string;
  network?: string[];
  expiresIn: string;
  out?: string;
}

const kinds = ['svc', 'pat', 'join'] as const;

export function addTokenCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'token', 'create, list and revoke credentials');
  addCommand<CreateOptions>(group, session, {
    usage: 'create <name>',
    summary: 'create a credential and show its text, this once',
    connects: true,
    examples: [
      'writ token create siem --role operator --scope lab --expires-in 90d --out siem.token',
      'WRIT_TOKEN=$(writ token create ci --role operator) writ whoami',
      'writ token create node-7 --kind join --expires-in 15m',
    ],
    options: (command) =>
      command
        .option('--kind <kind>', 'svc for an integration, pat for a person, join for a node', 'svc')
        .option('--role <name>', 'may be repeated', collect)
        .option('--scope <name>', 'bounds tools and targets')
        .option('--network <cidr>', 'usable only from there; may be repeated', collect)
        .option('--expires-in <duration>', 'life of the credential: 12h, 30d; a join token lives 15m at most', '30d')
        .option('--out <file>', 'write the text to a new file that only you can read, not to stdout'),
    run: createToken,
  });
  addCommand<{ all?: boolean }>(group, session, {
    usage: 'list',
    summary: 'list credentials, newest first; never their texts',
    connects: true,
    examples: ['writ token list', 'writ token list --all --json'],
    options: (command) => command.option('--all', 'those too that are revoked or have expired'),
    run: listTokens,
  });
  addCommand(group, session, {
    usage: 'revoke <token-id...>',
    summary: 'revoke credentials; acts within seconds',
    connects: true,
    examples: ['writ token revoke 0197a6f0-3c1e-7b7e-9d3e-0c2f3a4b5c6d'],
    run: async ({ args: [tokenIds], connect, screen }) => {
      const client = await connect();
      for (const tokenId of tokenIds as string[]) {
        await client.revokeToken(tokenId);
        if (screen.json) await screen.value({ token_id: tokenId, revoked: true });
        else screen.note(`${terminalText(tokenId)} is revoked`);
      }
      return undefined;
    },
  });
}

async function createToken(invocation: Invocation<CreateOptions>): Promise<ExitCode | undefined> {
  const { args, options, connect, screen } = invocation;
  const kind = kinds.find((known) => known === options.kind);
  if (kind === undefined) throw new AppError('invalid', `--kind takes ${kinds.join(', ')}, not "${options.kind}".`);
  // A join token cannot live as long as others do by default.
  const expiresIn = kind === 'join' && options.expiresIn === '30d' ? '15m' : options.expiresIn;
  const { role: roles = [], scope, network: networks, out } = options;
  const request: TokenRequest = {
    name: args[0] as string,
    kind,
    roles,
    ...(scope === undefined ? {} : { scope }),
    ...(networks === undefined ? {} : { networks }),
    expires_in_s: parseDurationS(expiresIn),
  };
  const client = await connect();
  // An empty file first: a credential whose text cannot be kept must not be made.
  if (out !== undefined) await writePrivate(out, '', 'wx');
  const { token, ...view } = await client.createToken(request).catch(async (error: unknown) => {
    if (out !== undefined) await rm(out, { force: true });
    throw error;
  });
  if (out !== undefined) await writePrivate(out, `${token}\n`, 'w');
  if (screen.json) {
    await screen.value(out === undefined ? { ...view, token } : view);
    return undefined;
  }
  if (out === undefined) await screen.lines([terminalText(token)]);
  const where = out === undefined ? 'shown this once: keep it now' : `in ${terminalText(out)}`;
  screen.note(
    `token ${terminalText(view.token_id)} of ${terminalText(view.name)}, ${where}; expires ${terminalText(view.expires_at)}`,
  );
  return undefined;
}

async function writePrivate(file: string, text: string, flag: 'wx' | 'w'): Promise<void> {
  try {
    await writeFile(file, text, { flag, mode: 0o600 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const said = code === 'EEXIST' ? 'exists already' : `cannot be written (${code})`;
    throw new AppError('invalid', `${file} ${said}.`, {}, error);
  }
}

async function listTokens(invocation: Invocation<{ all?: boolean }>): Promise<ExitCode | undefined> {
  const { options, connect, screen } = invocation;
  const tokens: Token[] = [];
  for await (const token of (await connect()).listTokens()) {
    const isOver = token.revoked_at !== null || Date.parse(token.expires_at) <= screen.nowMs;
    if (isOver && options.all !== true) continue;
    if (screen.json) await screen.value(token);
    else tokens.push(token);
  }
  if (screen.json) return undefined;
  if (tokens.length === 0) screen.note('no tokens');
  const rows = tokens.map((token): Cell[] => [
    token.token_id,
    token.name,
    token.kind,
    token.roles.join(','),
    token.scope ?? '-',
    token.prefix,
    token.revoked_at === null ? relativeTime(token.expires_at, screen.nowMs) : { text: 'revoked', tint: 'red' },
    relativeTime(token.last_used_at, screen.nowMs),
  ]);
  const headers = ['TOKEN', 'NAME', 'KIND', 'ROLES', 'SCOPE', 'PREFIX', 'EXPIRES', 'LAST USED'];
  const columns = headers.map((header) => ({ header, isFlexible: header === 'ROLES' }));
  if (rows.length > 0) await screen.table(columns, rows);
  return undefined;
}
