/** The tool catalog of this machine: what can be asked for, what it demands, and the digest it runs under. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type FieldError } from '../domain/error.ts';
import type { ActionEntry, Effects, ToolEntry } from '../domain/tool.ts';
import type { Target } from '../domain/target.ts';
import { buildArguments } from './arguments.ts';
import { readCatalogFile, type CatalogFile, type CatalogProblem } from './catalog-file.ts';
import { hintFor } from './catalog-problems.ts';
import { digestCatalogFile, digestOf, digestProgram, digestRoom, type DigestFile } from './digest.ts';
import { createParameterCompiler, type JsonSchema, type Parameters } from './parameters.ts';

export interface CatalogAction {
  readonly tool: string;
  readonly version: string;
  /** `sha256:` and 64 hex digits; of the whole tool. */
  readonly digest: string;
  readonly action: string;
  readonly description: string;
  readonly required_role: string;
  readonly effects: Effects;
  readonly timeout_s: number;
  /** JSON Schema of the payload. */
  readonly parameters: JsonSchema;
  readonly run: ActionEntry['run'];
  readonly exit_codes: ActionEntry['exit_codes'];
  /** Absolute path of the program that `process.run` starts. */
  readonly program: string | undefined;
  /** What is wrong with a payload; empty where nothing is. Paths are dotted. */
  validate(payload: unknown): FieldError[];
  /** The targets that a valid payload names. */
  targets(payload: unknown): readonly Target[];
}

export interface CatalogTool {
  readonly tool: string;
  readonly version: string;
  readonly description: string;
  readonly digest: string;
  readonly actions: ReadonlyMap<string, CatalogAction>;
}

export interface Catalog {
  readonly tools: ReadonlyMap<string, CatalogTool>;
  find(tool: string, action: string): CatalogAction | undefined;
}

const filesMax = 1000;

/** Reads every `*.yaml` and `*.yml` directly in the folders. Fails `invalid` (`catalog_invalid`) with all that is wrong. */
export async function loadCatalog(dirs: readonly string[]): Promise<Catalog> {
  const { files, problems } = await readCatalog(dirs);
  if (problems.length > 0) {
    const lines = problems.map(({ file, path, message, hint }) => `${joinPath(file, path)}: ${message} (${hint})`);
    throw new AppError('invalid', `the tool catalog cannot be used:\n${lines.join('\n')}`, {
      reason: 'catalog_invalid',
      errors: problems.map(({ file, path, message }) => ({ path: joinPath(file, path), message })),
    });
  }
  const room = await digestRoom();
  const tools = new Map<string, CatalogTool>();
  for (const file of files) tools.set(file.entry.tool, await buildTool(file, room));
  return { tools, find: (tool, action) => tools.get(tool)?.actions.get(action) };
}

/** Reads the folders' files and tells every problem of all of them, duplicate tools included. */
export async function readCatalog(
  dirs: readonly string[],
): Promise<{ files: CatalogFile[]; problems: CatalogProblem[] }> {
  const compile = createParameterCompiler();
  const files: CatalogFile[] = [];
  const problems: CatalogProblem[] = [];
  const places = new Map<string, string>();
  for (const path of await listFiles(dirs, problems)) {
    const read = await readCatalogFile(path, compile);
    if ('problems' in read) {
      problems.push(...read.problems);
      continue;
    }
    const other = places.get(read.entry.tool);
    if (other === undefined) {
      places.set(read.entry.tool, path);
      files.push(read);
    } else {
      const message = `the tool "${read.entry.tool}" stands in another file: ${other}`;
      problems.push({ file: path, path: '', message, hint: hintFor('', message) });
    }
  }
  return { files, problems };
}

async function listFiles(dirs: readonly string[], problems: CatalogProblem[]): Promise<string[]> {
  const paths: string[] = [];
  for (const dir of new Set(dirs)) {
    try {
      const names = (await readdir(dir)).filter((name) => /\.ya?ml$/.test(name)).sort();
      paths.push(...names.map((name) => join(dir, name)));
    } catch {
      problems.push({ file: dir, path: '', message: 'cannot be read', hint: 'give a folder that is there' });
    }
  }
  if (paths.length > filesMax) {
    const message = `holds over ${filesMax.toString()} catalog files`;
    problems.push({ file: dirs.join(', '), path: '', message, hint: 'take some out' });
    return [];
  }
  return paths;
}

async function buildTool(file: CatalogFile, room: readonly DigestFile[]): Promise<CatalogTool> {
  const { entry } = file;
  const programs = await Promise.all([...new Set(file.programs.values())].map((path) => digestProgram(path)));
  const digest = digestOf([digestCatalogFile(file.file, file.content), ...programs, ...room]);
  const actions = new Map<string, CatalogAction>();
  for (const [name, action] of Object.entries(entry.actions)) {
    const parameters = file.parameters.get(name);
    if (parameters === undefined) continue;
    actions.set(name, buildAction({ entry, digest, name, action, parameters, program: file.programs.get(name) }));
  }
  return { tool: entry.tool, version: entry.version, description: entry.description, digest, actions };
}

function buildAction(parts: {
  entry: ToolEntry;
  digest: string;
  name: string;
  action: ActionEntry;
  parameters: Parameters;
  program: string | undefined;
}): CatalogAction {
  const { entry, digest, name, action, parameters, program } = parts;
  const { run } = action;
  return {
    tool: entry.tool,
    version: entry.version,
    digest,
    action: name,
    description: action.description,
    required_role: action.required_role,
    effects: action.effects,
    timeout_s: action.timeout_s,
    parameters: parameters.schema,
    run,
    exit_codes: action.exit_codes,
    program,
    validate: (payload) => {
      const errors = parameters.validate(payload);
      if (run.builtin !== 'process.run' || errors.length > 0) return errors;
      return buildArguments(run, payload as Record<string, unknown>).problems;
    },
    targets: (payload) => parameters.targets(payload),
  };
}

function joinPath(file: string, path: string): string {
  return path === '' ? file : `${file}: ${path}`;
}
