/** Settings of the API and of what an orchestrator decides. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { count, define, listen, name, optionalListen, path, seconds } from './definition.ts';

const list = z.string().transform((text) => text.split(',').filter((part) => part !== ''));

export const generalDefinitions = {
  cluster_name: define('CLUSTER_NAME', name, 'writ', 'Name of this installation; part of the log’s origin.'),
  log_level: define(
    'LOG_LEVEL',
    z.enum(['error', 'warn', 'info', 'debug']),
    'info',
    'Least level of log lines on stderr.',
  ),
  http_listen: define('HTTP_LISTEN', listen, '127.0.0.1:8080', 'Address of the API.'),
  http_tls_certfile: define(
    'HTTP_TLS_CERTFILE',
    path,
    '',
    'Certificate of the API with its chain, PEM file; HTTP_LISTEN then speaks TLS.',
  ),
  http_tls_keyfile: define('HTTP_TLS_KEYFILE', path, '', 'Key of HTTP_TLS_CERTFILE, PEM file.'),
  http_allow_plaintext: define(
    'HTTP_ALLOW_PLAINTEXT',
    z.stringbool(),
    false,
    'Whether HTTP_LISTEN may be an address off loopback: tokens then cross the network unencrypted.',
  ),
  http_trusted_proxies: define(
    'HTTP_TRUSTED_PROXIES',
    list,
    [],
    'Addresses and networks of proxies whose X-Forwarded-For counts, separated by ",".',
  ),
  https_listen: define(
    'HTTPS_LISTEN',
    listen.or(z.literal('')),
    '',
    'Address of the API over TLS; by default the port after HTTP_LISTEN’s, or a free one.',
  ),
  metrics_listen: define(
    'METRICS_LISTEN',
    optionalListen,
    '',
    'Address of the metrics for Prometheus; empty for none.',
  ),
  mark_dir: define(
    'MARK_DIR',
    z.string().min(1),
    stateFolder,
    'Folder of the log’s high-water mark; must lie outside the data folder.',
  ),
  tools_path: define('TOOLS_PATH', z.string(), '', 'Folders of further catalog files, separated by ":".'),
  max_retries: define(
    'MAX_RETRIES',
    z.coerce.number().int().min(1).max(100),
    3,
    'Starts of a task in all, where it does not say.',
  ),
  retry_initial_s: define(
    'RETRY_INITIAL_S',
    seconds,
    1,
    'Bound of the first delay of a retry, where the task does not say.',
  ),
  retry_max_s: define('RETRY_MAX_S', seconds, 300, 'Bound of any delay of a retry, where the task does not say.'),
  priority_point_s: define('PRIORITY_POINT_S', seconds, 60, 'Waiting that one point of priority is worth.'),
  backlog_max: define('BACKLOG_MAX', count, 2_000_000, 'Live tasks beyond which submissions are answered 429.'),
  rate_limit_credential: define(
    'RATE_LIMIT_CREDENTIAL',
    count.min(1),
    2000,
    'Calls a second with one credential; those beyond are answered 429.',
  ),
  rate_limit_network: define(
    'RATE_LIMIT_NETWORK',
    count.min(1),
    4000,
    'Calls a second from one network, an IPv4 address or an IPv6 /64; those beyond are answered 429.',
  ),
  heartbeat_interval_s: define('HEARTBEAT_INTERVAL_S', seconds.min(0.2), 10, 'Interval of a node’s heartbeats.'),
  heartbeat_misses: define('HEARTBEAT_MISSES', count.min(1), 3, 'Missed heartbeats after which a node is unhealthy.'),
  node_lease_s: define('NODE_LEASE_S', seconds.min(1), 60, 'Lease of a node; renewed by each heartbeat.'),
  node_credential_lifetime_s: define(
    'NODE_CREDENTIAL_LIFETIME_S',
    seconds.min(1),
    604_800,
    'Life of a node’s credential; renewed by heartbeats after half of it.',
  ),
  node_certificate_lifetime_s: define(
    'NODE_CERTIFICATE_LIFETIME_S',
    seconds.min(10),
    86_400,
    'Life of a node’s certificate to the broker; renewed by heartbeats after half of it.',
  ),
  key_activation_s: define(
    'KEY_ACTIVATION_S',
    seconds,
    600,
    'Time from the trust in a new manifest key until it signs: nodes and caches of JWKS learn of it.',
  ),
} as const;

/** Where programs keep state that is no configuration and no cache (XDG base directories). */
function stateFolder(): string {
  const base = process.env.XDG_STATE_HOME ?? '';
  return join(base === '' ? join(homedir(), '.local', 'state') : base, 'writ', 'marks');
}
