/** docs/settings.md: every setting with its variable, form, default and meaning. */
import { z } from 'zod';
import { definitions, type SettingKey } from '../src/settings/settings.ts';

/** Defaults that differ by machine, or are too long for a table. */
const toldDefaults: Partial<Record<SettingKey, string>> = {
  mark_dir: '`$XDG_STATE_HOME/writ/marks`, else `~/.local/state/writ/marks`',
  node_name: 'the name of the host',
  heartbeat_interval_s: '10; 2 in `writ dev`',
  telemetry_event_types: 'all but `task.dispatched`',
};

/** Forms that no JSON Schema tells. */
const toldForms: Partial<Record<SettingKey, string>> = {
  http_listen: '`HOST:PORT`',
  https_listen: '`HOST:PORT`, or empty',
  node_labels: '`key=value,key=value`',
  telemetry_event_types: 'types, separated by `,`',
};

/** The page. */
export function settingsPage(): string {
  const rows = (Object.keys(definitions) as SettingKey[]).map((key) => {
    const { env, description } = definitions[key];
    return `| \`${key}\` | \`${env}\` | ${formOf(key)} | ${defaultOf(key)} | ${description} |`;
  });
  return `# Settings

<!-- Written by \`npm run docs\` from src/settings/settings.ts; a test compares. -->

The settings of an orchestrator and its node come from a YAML file, the environment and flags. A flag goes before the environment,
the environment before the file. The file is the one of \`--config\`, else of \`WRIT_CONFIG\`; without either there is none. Every
wrong value and every unknown key is told at once, with exit code 3.

\`writ config\` shows what is in force and where each value comes from; \`writ config --changed\` only what is not a default.

\`\`\`yaml
# writ.yaml
cluster_name: blue
http_listen: 127.0.0.1:9080
node_slots: 32
telemetry_feeds: both
\`\`\`

| key | variable | form | default | meaning |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Durations are in seconds. Two settings have a flag of \`writ dev\`: \`--http\` sets \`http_listen\`, \`--https\` sets
\`https_listen\`. The data folder is a flag alone: \`--data\`, by default \`.writ\`. \`cluster_name\` counts when a log begins; the
origin of a log that is there never changes.

## The command line as a client

These are no keys of the file. Flags (\`--url\`, \`--token-file\`, \`--cacert\`) go first.

| variable | meaning | else |
| --- | --- | --- |
| \`WRIT_URL\` | Address of the server. | \`.writ/url\`, if it names this machine; \`http://127.0.0.1:8080\` |
| \`WRIT_TOKEN\` | The credential itself. | \`WRIT_TOKEN_FILE\` |
| \`WRIT_TOKEN_FILE\` | File that holds the credential. Both at once are refused. | \`.writ/admin.token\`, for a server on this machine alone |
| \`WRIT_CACERT\` | Certificate authority of the server, PEM file. | the system's |
| \`NO_COLOR\` | Set to anything: no colours. | colours on a terminal, unless \`TERM\` is \`dumb\` |
`;
}

function formOf(key: SettingKey): string {
  const told = toldForms[key];
  if (told !== undefined) return told;
  const { type, minimum, maximum, ...schema } = z.toJSONSchema(definitions[key].schema, { unrepresentable: 'any' });
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (type !== 'integer' && type !== 'number') return 'text';
  const noun = type === 'integer' ? 'whole number' : 'number';
  const upper = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const from = minimum === undefined ? '' : `, from ${minimum.toString()}`;
  return `${noun}${from}${upper === undefined ? '' : ` to ${upper.toLocaleString('en')}`}`;
}

function defaultOf(key: SettingKey): string {
  const told = toldDefaults[key];
  if (told !== undefined) return told;
  const value: unknown = definitions[key].fallback();
  if (typeof value === 'number') return value.toLocaleString('en');
  const text = typeof value === 'string' ? value : '';
  return text === '' ? 'none' : `\`${text}\``;
}
