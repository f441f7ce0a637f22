/** Settings of a node. */

import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { count, define, defineSecret, listen, path, seconds } from './definition.ts';

const pairs = z.string().transform((text, context) => parsePairs(text, context));

export const nodeDefinitions = {
  node_name: define('NODE_NAME', z.string().regex(/^[a-z][a-z0-9._-]{0,62}$/), nodeName, 'Name of the node.'),
  node_labels: define('NODE_LABELS', pairs, {}, 'Labels of the node, "key=value,key=value".'),
  node_slots: define('NODE_SLOTS', count.min(1).max(10_000), 16, 'Orders that the node runs at once.'),
  node_data_dir: define(
    'NODE_DATA_DIR',
    path,
    nodeFolder,
    'Data folder of a node: identity, journal, spool. One process at a time.',
  ),
  orchestrator_url: define(
    'ORCHESTRATOR_URL',
    z.string(),
    'http://127.0.0.1:8080',
    'Address of the API, for writ work.',
  ),
  orchestrator_cacert: define(
    'ORCHESTRATOR_CACERT',
    path,
    '',
    'Authority of the API’s certificate, PEM file; the system’s where it is empty.',
  ),
  join_token: defineSecret('JOIN_TOKEN', 'Join token, needed once.'),
  registration_retry_delay_s: define('REGISTRATION_RETRY_DELAY_S', seconds.min(0.1), 30, 'Wait between tries to join.'),
  management_listen: define('MANAGEMENT_LISTEN', listen, '127.0.0.1:9999', 'Address of the node’s management door.'),
  management_auth_token: defineSecret(
    'MANAGEMENT_AUTH_TOKEN',
    'Token of the management door; without one it stays shut.',
  ),
  shutdown_grace_period_s: define(
    'SHUTDOWN_GRACE_PERIOD_S',
    seconds,
    60,
    'Time that running orders get when the node stops.',
  ),
} as const;

function nodeName(): string {
  const host = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-')
    .slice(0, 50);
  return /^[a-z]/.test(host) ? host : `node-${host}`;
}

/** Where a node keeps what it must not lose (XDG base directories). */
function nodeFolder(): string {
  const base = process.env.XDG_STATE_HOME ?? '';
  return join(base === '' ? join(homedir(), '.local', 'state') : base, 'writ', 'node');
}

function parsePairs(text: string, context: z.RefinementCtx): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of text.split(',').filter((part) => part !== '')) {
    const [key = '', ...value] = pair.split('=');
    if (key === '' || value.length === 0) context.addIssue({ code: 'custom', message: 'key=value, separated by ","' });
    else labels[key] = value.join('=');
  }
  return labels;
}
