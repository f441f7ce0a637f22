/** `writ nodes`: the nodes that the server knows. */

import type { Command } from 'commander';
import type { Node } from '../../client/client.ts';
import { addCommand, type Session } from '../command.ts';
import { relativeTime } from '../duration.ts';
import { stateCell } from '../screen.ts';

export function addNodesCommand(program: Command, session: Session): void {
  addCommand(program, session, {
    usage: 'nodes',
    summary: 'list nodes with their state and slots',
    connects: true,
    examples: ['writ nodes', 'writ nodes --json | jq -r \'select(.status != "active") | .name\''],
    run: async ({ connect, screen }) => {
      const nodes: Node[] = [];
      for await (const node of (await connect()).nodes()) {
        if (screen.json) await screen.value(node);
        else nodes.push(node);
      }
      if (screen.json) return undefined;
      if (nodes.length === 0) screen.note('no nodes have joined');
      const rows = nodes.map(({ id, name, status, slots, last_heartbeat, labels }) => [
        id,
        name,
        stateCell(status),
        slots.toString(),
        relativeTime(last_heartbeat, screen.nowMs),
        Object.entries(labels)
          .map(([label, value]) => `${label}=${value}`)
          .join(', '),
      ]);
      const columns = [
        { header: 'NODE' },
        { header: 'NAME' },
        { header: 'STATUS' },
        { header: 'SLOTS', align: 'right' },
        { header: 'HEARD OF' },
        { header: 'LABELS', isFlexible: true },
      ] as const;
      if (rows.length > 0) await screen.table(columns, rows);
      return undefined;
    },
  });
}
