/** A scope: which tools, against which targets, in which time a principal may work. */

import { z } from 'zod';
import { name } from './task.ts';
import { canonicalHost, parseNetwork, type Network, type Problem } from './target.ts';

/** One entry of a scope's `targets`, read. */
export type TargetRule =
  | { kind: 'any' }
  | { kind: 'name'; name: string }
  | { kind: 'suffix'; suffix: string }
  | { kind: 'network'; network: Network };

/**
 * Reads an entry of `targets`: an address, a CIDR network, a host name, `*.suffix` (names below it at any depth, not
 * itself), or `*` (every public address and name).
 */
export function parseTargetRule(text: string): TargetRule | Problem {
  if (text === '*') return { kind: 'any' };
  if (text.startsWith('*.')) {
    const suffix = canonicalHost(text.slice(2));
    if ('problem' in suffix || suffix.family !== 0) return { problem: 'after "*." stands a host name' };
    return { kind: 'suffix', suffix: `.${suffix.host}` };
  }
  const network = parseNetwork(text);
  if (!('problem' in network)) return { kind: 'network', network };
  if (text.includes('/')) return network;
  const host = canonicalHost(text);
  return 'problem' in host ? host : { kind: 'name', name: host.host };
}

const toolRule = z
  .string()
  .regex(/^(\*|[a-z][a-z0-9_-]{0,62}\.(\*|[a-z][a-z0-9_-]{0,62}))$/, 'a tool rule: "tcp.connect", "tcp.*" or "*"');

const targetRule = z
  .string()
  .max(300)
  .superRefine((text, context) => {
    const rule = parseTargetRule(text);
    if ('problem' in rule) context.addIssue({ code: 'custom', message: rule.problem });
  });

const timestamp = z.iso.datetime({ offset: true });

/** A scope as it is written and kept. Without targets it allows only actions that have none. */
export const scope = z
  .strictObject({
    name,
    tools: z.array(toolRule).min(1).max(500),
    targets: z.array(targetRule).max(1000),
    /** From this time on. */
    not_before: timestamp.optional(),
    /** Not at this time or later. */
    not_after: timestamp.optional(),
  })
  .refine(
    ({ not_before, not_after }) =>
      not_before === undefined || not_after === undefined || Date.parse(not_before) < Date.parse(not_after),
    { path: ['not_after'], message: 'not_after must be later than not_before' },
  );
export type Scope = z.infer<typeof scope>;
