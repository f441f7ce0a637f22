/** Shows what a task came to. */

import { Buffer } from 'node:buffer';
import type { TaskResult } from '../client/client.ts';
import { formatSpan } from './duration.ts';
import { stateCell, type Screen } from './screen.ts';
import type { Cell } from './table.ts';
import { terminalLines } from './terminal-text.ts';

/** The facts as pairs, then the output: JSON indented, text line by line, other bytes by their number. */
export async function showResult(screen: Screen, result: TaskResult): Promise<void> {
  const { started_at, ended_at, error } = result;
  const pairs: [string, Cell][] = [
    ['task', result.task_id],
    ['state', stateCell(result.state)],
  ];
  if (result.status !== result.state) pairs.push(['status', stateCell(result.status)]);
  if (result.reason !== null) pairs.push(['reason', result.reason]);
  pairs.push(['attempt', result.attempt.toString()]);
  if (started_at !== null) pairs.push(['took', formatSpan(Date.parse(ended_at) - Date.parse(started_at))]);
  if (error !== null) pairs.push(['error', { text: `${error.code}: ${error.message}`, tint: 'red' }]);
  if (result.output_sha256 !== null) {
    pairs.push(['output', `${String(result.output_bytes ?? 0)} bytes, sha256 ${result.output_sha256}`]);
  }
  await screen.pairs(pairs);
  await screen.lines(outputLines(result));
}

function outputLines({ output, output_encoding }: TaskResult): string[] {
  if (output === null || output === '' || output_encoding === null) return [];
  if (typeof output !== 'string') return ['', ...terminalLines(JSON.stringify(output, null, 2)).split('\n')];
  if (output_encoding === 'base64') {
    return [
      '',
      `(${Buffer.byteLength(output, 'base64').toString()} bytes that are no text; --json shows them as base64)`,
    ];
  }
  return ['', ...terminalLines(output.replace(/\n$/, '')).split('\n')];
}
