/** What an auditor remembers of a log between two verifications: the size and root that were verified last. */

import { decodeHash } from './base64.ts';
import { canonicalize, parseCanonical } from './canonical-json.ts';
import { prove } from './proof-error.ts';
import { isHashBase64 } from './record.ts';
import { checkShape, isCount, isText } from './shape.ts';

export interface RememberedState {
  log: string;
  size: number;
  root: Buffer;
}

export function formatState({ log, size, root }: RememberedState): string {
  return `${canonicalize({ v: 1, log, size, root: root.toString('base64') })}\n`;
}

/** Reads a state; refuses what `formatState` did not write. */
export function parseState(text: string): RememberedState {
  prove(text.endsWith('\n'), 'bad_state', 'a state is one line');
  const value = parseCanonical(text.slice(0, -1));
  checkShape(
    value,
    {
      v: { holds: (v) => v === 1, expected: '1' },
      log: { holds: (v) => isText(v, 255), expected: 'an origin' },
      size: { holds: (v) => isCount(v), expected: 'a number from 0' },
      root: { holds: (v) => typeof v === 'string' && isHashBase64(v), expected: 'a base64 hash' },
    },
    'state',
  );
  const { log, size, root } = value as unknown as { log: string; size: number; root: string };
  return { log, size, root: decodeHash(root) };
}
