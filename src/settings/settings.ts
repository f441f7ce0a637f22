/** The settings of an orchestrator and its node: one schema, from file, environment and flags to one frozen object. */

import { readFileSync } from 'node:fs';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { AppError, type FieldError } from '../domain/error.ts';
import type { Definition } from './definition.ts';
import { generalDefinitions } from './general-definitions.ts';
import { nodeDefinitions } from './node-definitions.ts';
import { partDefinitions } from './part-definitions.ts';
import { telemetryDefinitions } from './telemetry-definitions.ts';

/** All settings by their key in `writ.yaml`. */
export const definitions = {
  ...generalDefinitions,
  ...partDefinitions,
  ...nodeDefinitions,
  ...telemetryDefinitions,
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
    const given =
      definition.isSecret === true
        ? readSecret(key, definition.env, environment, file, errors)
        : firstGiven(input.flags?.[key], environment[definition.env], file[key]);
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
  for (const value of Object.values(settings)) Object.freeze(value);
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
      value: isSecret === true && settings[key] !== '' ? '***' : settings[key],
      source: sources[key],
      description,
    }),
  );
}

/** Files that hold secrets, by the setting that names each: the settings file too, where a secret stands in it. */
export function secretFiles(input: SettingsInput = {}): { setting: string; path: string }[] {
  const environment = input.environment ?? process.env;
  const path = input.file ?? environment.WRIT_CONFIG ?? '';
  const file = readFile(path, []);
  const secrets = (Object.entries(definitions) as [SettingKey, Definition<unknown>][]).filter(
    ([, { isSecret }]) => isSecret === true,
  );
  const named = secrets.flatMap(([key, { env }]) => [
    { setting: `${env}_FILE`, path: environment[`${env}_FILE`] },
    { setting: `${key}_file`, path: file[`${key}_file`] },
  ]);
  const inside = secrets.some(([key]) => file[key] !== undefined) ? [{ setting: 'WRIT_CONFIG', path }] : [];
  return [...named, ...inside].flatMap(({ setting, path: at }) =>
    typeof at === 'string' && at !== '' ? [{ setting, path: at }] : [],
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

/** A secret comes from its variable, from the file that a variable or a key names, or from the settings file. */
function readSecret(
  key: SettingKey,
  env: string,
  environment: Readonly<Record<string, string | undefined>>,
  file: Record<string, unknown>,
  errors: FieldError[],
): ReturnType<typeof firstGiven> {
  const named = environment[`${env}_FILE`];
  if (named !== undefined && environment[env] !== undefined) {
    errors.push({ path: env, message: `and ${env}_FILE are both set: unset one of them` });
  }
  const namedInFile = file[`${key}_file`];
  if (namedInFile !== undefined && file[key] !== undefined) {
    errors.push({ path: key, message: `and ${key}_file are both set: remove one of them` });
  }
  if (namedInFile !== undefined && typeof namedInFile !== 'string') {
    errors.push({ path: `${key}_file`, message: 'the path of a file' });
  }
  const fromEnvironment = environment[env] ?? readSecretFile(named, `${env}_FILE`, errors);
  if (fromEnvironment !== undefined) return { value: fromEnvironment, source: 'environment' };
  // As it stands there: a number would not be the digits that somebody wrote.
  if (file[key] !== undefined) return { value: file[key], source: 'file' };
  const fromFile = typeof namedInFile === 'string' ? readSecretFile(namedInFile, `${key}_file`, errors) : undefined;
  return { value: fromFile, source: fromFile === undefined ? 'default' : 'file' };
}

function readSecretFile(path: string | undefined, setting: string, errors: FieldError[]): string | undefined {
  if (path === undefined || path === '') return undefined;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    errors.push({ path: setting, message: `${path} cannot be read${whyUnreadable(error)}` });
    return undefined;
  }
}

function isKnown(key: string): boolean {
  if (Object.hasOwn(definitions, key)) return true;
  const secret = key.endsWith('_file') ? key.slice(0, -'_file'.length) : '';
  return (
    Object.hasOwn(definitions, secret) && (definitions[secret as SettingKey] as Definition<unknown>).isSecret === true
  );
}

function nameOf(key: string, env: string, source: SettingSource): string {
  return source === 'environment' ? env : source === 'flag' ? `--${key.replaceAll('_', '-')}` : key;
}

function readFile(path: string | undefined, errors: FieldError[]): Record<string, unknown> {
  if (path === undefined || path === '') return {};
  let values: unknown;
  try {
    // Its own messages and warnings quote lines, and a line may be that of a secret.
    values = parseYaml(readFileSync(path, 'utf8'), { maxAliasCount: 0, logLevel: 'error' }) ?? {};
  } catch (error) {
    errors.push({ path, message: `cannot be read${whyUnreadable(error)}` });
    return {};
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    errors.push({ path, message: 'is not a table of keys and values' });
    return {};
  }
  for (const key of Object.keys(values)) {
    if (!isKnown(key)) errors.push({ path: `${path}: ${key}`, message: 'is not a setting' });
  }
  return values as Record<string, unknown>;
}

function whyUnreadable(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const line = error instanceof YAMLParseError ? error.linePos?.[0].line : undefined;
  const where = line === undefined ? '' : ` in line ${line.toString()}`;
  return 'code' in error ? ` (${String(error.code)}${where})` : '';
}
