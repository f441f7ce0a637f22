/** `writ keys …`: the keys that sign manifests. */

import type { Command } from 'commander';
import type { ManifestKey } from '../../client/client.ts';
import { addCommand, addGroup, type Invocation, type Session } from '../command.ts';
import { parseDurationS, relativeTime } from '../duration.ts';
import type { ExitCode } from '../exit-code.ts';
import type { Screen } from '../screen.ts';

export function addKeyCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'keys', 'list and rotate the keys that sign manifests');
  addCommand(group, session, {
    usage: 'list',
    summary: 'list the keys that sign manifests, in the order of their trust',
    connects: true,
    examples: ['writ keys list', 'writ keys list --json | jq -r \'select(.state == "signs") | .kid\''],
    run: listKeys,
  });
  addCommand<{ activateIn?: string }>(group, session, {
    usage: 'rotate',
    summary: 'trust a new version of the key; nodes learn of it, then it signs, then the old one is retired',
    connects: true,
    examples: ['writ keys rotate', 'writ keys rotate --activate-in 2m'],
    options: (command) =>
      command.option('--activate-in <duration>', 'time until it signs; that of KEY_ACTIVATION_S without it'),
    run: rotateKey,
  });
}

async function listKeys({ connect, screen }: Invocation<unknown>): Promise<ExitCode | undefined> {
  const keys = await (await connect()).keys();
  if (screen.json) for (const key of keys) await screen.value(key);
  else await showKeys(keys, screen);
  return undefined;
}

async function rotateKey({
  connect,
  screen,
  options,
}: Invocation<{ activateIn?: string }>): Promise<ExitCode | undefined> {
  const { activateIn } = options;
  const client = await connect();
  const key = await client.rotateKey(activateIn === undefined ? {} : { activate_in_s: parseDurationS(activateIn) });
  if (screen.json) {
    await screen.value(key);
    return undefined;
  }
  screen.note(`version ${key.version.toString()} is trusted now, and signs from ${key.signs_from} on`);
  await showKeys(await client.keys(), screen);
  return undefined;
}

async function showKeys(keys: readonly ManifestKey[], screen: Screen): Promise<void> {
  await screen.table(
    [
      { header: 'KID', isFlexible: true },
      { header: 'VERSION', align: 'right' },
      { header: 'STATE' },
      { header: 'TRUSTED' },
      { header: 'SIGNS FROM' },
      { header: 'UNTIL' },
    ],
    keys.map(({ kid, version, state, trusted_from, signs_from, trusted_until }) => [
      kid,
      version.toString(),
      state,
      relativeTime(trusted_from, screen.nowMs),
      relativeTime(signs_from, screen.nowMs),
      trusted_until === null ? '-' : relativeTime(trusted_until, screen.nowMs),
    ]),
  );
}
