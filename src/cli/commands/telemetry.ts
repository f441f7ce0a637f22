/** `writ telemetry tail`: reads telemetry events as a consumer does. */

import { join } from 'node:path';
import type { Command } from 'commander';
import type { TelemetryEvent } from '../../domain/event.ts';
import { AppError } from '../../domain/error.ts';
import { addCommand, addGroup, type Invocation, type Session } from '../command.ts';
import type { ExitCode } from '../exit-code.ts';
import { readCount } from '../read-count.ts';
import type { Screen } from '../screen.ts';
import { tintOf } from '../style.ts';
import { terminalText } from '../terminal-text.ts';

interface TailOptions {
  data?: string;
  feed: string;
  limit?: string;
}

const feeds = ['events', 'batches'] as const;

export function addTelemetryCommands(program: Command, session: Session): void {
  const group = addGroup(program, 'telemetry', 'read telemetry events');
  addCommand<TailOptions>(group, session, {
    usage: 'tail',
    summary: 'consume the events of the writ dev that runs here: each is acknowledged when it is shown',
    examples: ['writ telemetry tail', 'writ telemetry tail --json --limit 100 | jq -r .event_type'],
    options: (command) =>
      command
        .option('--data <directory>', 'data folder of the writ dev (default .writ)')
        .option('--feed <feed>', feeds.join(', '), 'events')
        .option('--limit <number>', 'end after so many'),
    run: tail,
  });
}

async function tail({ options, io, screen }: Invocation<TailOptions>): Promise<ExitCode | undefined> {
  const feed = feeds.find((known) => known === options.feed);
  if (feed === undefined) throw new AppError('invalid', `--feed takes ${feeds.join(', ')}, not "${options.feed}".`);
  const limit = readCount(options.limit, '--limit', Infinity);
  const { tailTelemetry } = await import('../../app/telemetry-tap.ts');
  const stop = new AbortController();
  const onInterrupt = (): void => {
    stop.abort();
  };
  process.once('SIGINT', onInterrupt);
  process.once('SIGTERM', onInterrupt);
  let shown = 0;
  try {
    await tailTelemetry({
      dataDir: options.data ?? join(io.folder, '.writ'),
      feed,
      signal: stop.signal,
      onEvent: async (event) => {
        if (shown >= limit) return;
        shown += 1;
        await (screen.json ? screen.value(event) : screen.lines([eventLine(screen, event)]));
        if (shown >= limit) stop.abort();
      },
    });
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    process.removeListener('SIGTERM', onInterrupt);
  }
  return undefined;
}

function eventLine(screen: Screen, event: TelemetryEvent): string {
  const { timestamp, event_type, status, target, actor, attributes } = event;
  const tint = tintOf(status);
  const word = terminalText(status).padEnd(10);
  return [
    screen.style('dim', `${terminalText(timestamp)} #${attributes.audit_seq.toString()}`),
    terminalText(event_type).padEnd(20),
    tint === undefined ? word : screen.style(tint, word),
    target === null ? '' : terminalText(`${target.kind} ${target.id}`),
    actor === null ? '' : terminalText(`by ${actor.id}`),
  ]
    .join('  ')
    .trimEnd();
}
