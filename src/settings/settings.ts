/** The settings of an orchestrator and its node: one schema, from file, environment and flags to one frozen object. */

import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { AppError, type FieldError } from '../domain/error.ts';
import { eventTypes, type EventType } from '../domain/event.ts';

const seconds = z.coerce.number().min(0).max(31_536_000);
const count = z.coerce.number().int().min(0);
const name = z.string().regex(/^[A-Za-z0-9._-]{1,127}$/, 'a name: letters, digits, ". _ -", 127 at most');
const listen = z.string().regex(/^(\[[0-9a-f:]+\]|[^:\s]+):\d{1,5}$/i, 'HOST:PORT');
const pairs = z.string().transform((text, context) => parsePairs(text, context));

/** One setting: its environment variable, its form, its default, and what it means. */
interface Definition<T> {
  env: string;
  schema: z.ZodType<T>;
  fallback: () => T;
  description: string;
  isSecret?: boolean;
}

function define<T>(env: string, schema: z.ZodType<T>, fallback: T | (() => T), description: string): Definition<T> {
  return {
    env,
    schema,
    fallback: typeof fallback === 'function' ? (fallback as () => T) : () => fallback,
    description,
  };
}

/** All settings by their key in `writ.yaml`. */
export const definitions = {
  cluster_name: define('CLUSTER_NAME', name, 'writ', 'Name of this installation; part of the log’s origin.'),
  log_level: define(
    'LOG_LEVEL',
    z.enum(['error', 'warn', 'info', 'debug']),
    'info',
    'Least level of log lines on stderr.',
  ),
  http_listen: define('HTTP_LISTEN', listen, '127.0.0.1:8080', 'Address of the API.'),
  http_allow_plaintext: define(
    'HTTP_ALLOW_PLAINTEXT',
    z.stringbool(),
    false,
    'Whether HTTP_LISTEN may be an address off loopback: tokens then cross the network unencrypted.',
  ),
  https_listen: define(
    'HTTPS_LISTEN',
    listen.or(z.literal('')),
    '',
    'Address of the API over TLS; by default the port after HTTP_LISTEN’s, or a free one.',
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
  heartbeat_interval_s: define('HEARTBEAT_INTERVAL_S', seconds.min(0.2), 10, 'Interval of a node’s heartbeats.'),
  heartbeat_misses: define('HEARTBEAT_MISSES', count.min(1), 3, 'Missed heartbeats after which a node is unhealthy.'),
  node_lease_s: define('NODE_LEASE_S', seconds.min(1), 60, 'Lease of a node; renewed by each heartbeat.'),
  node_name: define('NODE_NAME', z.string().regex(/^[a-z][a-z0-9._-]{0,62}$/), nodeName, 'Name of the node.'),
  node_labels: define('NODE_LABELS', pairs, {}, 'Labels of the node, "key=value,key=value".'),
  node_slots: define('NODE_SLOTS', count.min(1).max(10_000), 16, 'Orders that the node runs at once.'),
  shutdown_grace_period_s: define(
    'SHUTDOWN_GRACE_PERIOD_S',
    seconds,
    60,
    'Time that running orders get when the node stops.',
  ),
  telemetry_feeds: define(
    'TELEMETRY_FEEDS',
    z.enum(['events', 'batches', 'both']),
    'events',
    'Feeds of telemetry: one event a message, up to 500, or both.',
  ),
  telemetry_event_types: define(
    'TELEMETRY_EVENT_TYPES',
    z.string().transform(parseEventTypes),
    () => eventTypes.filter((type) => type !== 'task.dispatched'),
    'Types of event that go out, separated by ","; all but task.dispatched by default.',
  ),
  telemetry_max_attempts: define(
    'TELEMETRY_MAX_ATTEMPTS',
    count.min(1),
    5,
    'Tries for an event that the broker refuses.',
  ),
  telemetry_backoff_initial_s: define(
    'TELEMETRY_BACKOFF_INITIAL_S',
    seconds,
    1,
    'First wait while the broker takes no events.',
  ),
  telemetry_backoff_max_s: define(
    'TELEMETRY_BACKOFF_MAX_S',
    seconds,
    60,
    'Longest wait while the broker takes no events.',
  ),
  telemetry_exchange: define('RABBITMQ_TELEMETRY_EXCHANGE', name, 'spectrastrike.telemetry', 'Exchange of telemetry.'),
  telemetry_routing_key: define(
    'RABBITMQ_TELEMETRY_ROUTING_KEY',
    name,
    'telemetry.events',
    'Routing key of single events.',
  ),
  telemetry_queue: define('RABBITMQ_TELEMETRY_QUEUE', name, 'telemetry.events', 'Queue of single events.'),
  telemetry_dlq: define(
    'RABBITMQ_TELEMETRY_DLQ',
    name,
    'telemetry.events.dlq',
    'Queue of events that consumers reject.',
  ),
} as const;

type Definitions = typeof definitions;
export type SettingKey = keyof Definitions;
export type Settings = {
  readonly [Key in SettingKey]: Definitions[Key] extends Definition<infer T> ? Readonly<T> : never;
};

/** Where a value comes from. */
export type SettingSource = 'default' | 'file' | 'environment' | 'flag';

export interface LoadedSettings {
  settings: Settings;
  sources: Readonly<Record<SettingKey, SettingSource>>;
}

export interface SettingsInput {
  /** Path of `writ.yaml`; by default that of `WRIT_CONFIG`, if it is set. */
  file?: string | undefined;
  environment?: Readonly<Record<string, string | undefined>>;
  /** Defaults of a command that differ from the general ones. */
  defaults?: Partial<Record<SettingKey, unknown>>;
  /** By key; what is undefined was not given. */
  flags?: Partial<Record<SettingKey, string | number | undefined>>;
}

/** Reads all settings. Fails `invalid` (`invalid_settings`) and tells every bad key at once. */
export function loadSettings(input: SettingsInput = {}): LoadedSettings {
  const environment = input.environment ?? process.env;
  const errors: FieldError[] = [];
  const file = readFile(input.file ?? environment.WRIT_CONFIG, errors);
  const settings: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  for (const [key, definition] of Object.entries(definitions) as [SettingKey, Definition<unknown>][]) {
    const given = firstGiven(input.flags?.[key], environment[definition.env], file[key]);
    sources[key] = given.source;
    if (given.source === 'default') {
      settings[key] = input.defaults?.[key] ?? definition.fallback();
      continue;
    }
    const parsed = definition.schema.safeParse(given.value);
    if (parsed.success) settings[key] = parsed.data;
    else
      errors.push({
        path: nameOf(key, definition.env, given.source),
        message: parsed.error.issues[0]?.message ?? 'not valid',
      });
  }
  if (errors.length > 0) {
    const lines = errors.map(({ path, message }) => `  ${path}: ${message}`).join('\n');
    throw new AppError('invalid', `These settings are not valid:\n${lines}`, { reason: 'invalid_settings', errors });
  }
  return { settings: Object.freeze(settings) as unknown as Settings, sources: sources as LoadedSettings['sources'] };
}

export interface SettingDescription {
  key: string;
  environment: string;
  value: unknown;
  source: SettingSource;
  description: string;
}

/** The effective settings with their sources; secrets are masked. */
export function describeSettings(input: SettingsInput = {}): SettingDescription[] {
  const { settings, sources } = loadSettings(input);
  return (Object.entries(definitions) as [SettingKey, Definition<unknown>][]).map(
    ([key, { env, description, isSecret }]) => ({
      key,
      environment: env,
      value: isSecret === true ? '***' : settings[key],
      source: sources[key],
      description,
    }),
  );
}

function firstGiven(
  flag: unknown,
  environment: string | undefined,
  file: unknown,
): { value: unknown; source: SettingSource } {
  if (flag !== undefined) return { value: flag, source: 'flag' };
  if (environment !== undefined) return { value: environment, source: 'environment' };
  if (file !== undefined)
    return { value: typeof file === 'number' || typeof file === 'boolean' ? String(file) : file, source: 'file' };
  return { value: undefined, source: 'default' };
}

function nameOf(key: string, env: string, source: SettingSource): string {
  return source === 'environment' ? env : source === 'flag' ? `--${key.replaceAll('_', '-')}` : key;
}

function readFile(path: string | undefined, errors: FieldError[]): Record<string, unknown> {
  if (path === undefined || path === '') return {};
  let values: unknown;
  try {
    values = parseYaml(readFileSync(path, 'utf8'), { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    errors.push({ path, message: `cannot be read: ${error instanceof Error ? error.message : 'unknown'}` });
    return {};
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    errors.push({ path, message: 'is not a table of keys and values' });
    return {};
  }
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(definitions, key)) errors.push({ path: `${path}: ${key}`, message: 'is not a setting' });
  }
  return values as Record<string, unknown>;
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

function parseEventTypes(text: string, context: z.RefinementCtx): EventType[] {
  const types = text.split(',').map((type) => type.trim());
  const unknown = types.filter((type) => !eventTypes.includes(type as EventType));
  if (unknown.length > 0) {
    context.addIssue({ code: 'custom', message: `unknown: ${unknown.join(', ')}; known: ${eventTypes.join(', ')}` });
  }
  return types as EventType[];
}

/** Where programs keep state that is no configuration and no cache (XDG base directories). */
function stateFolder(): string {
  const base = process.env.XDG_STATE_HOME ?? '';
  return join(base === '' ? join(homedir(), '.local', 'state') : base, 'writ', 'marks');
}

function nodeName(): string {
  const host = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-')
    .slice(0, 50);
  return /^[a-z]/.test(host) ? host : `node-${host}`;
}
