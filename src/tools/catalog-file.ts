/** Reads one catalog file: strict YAML, the entry's shape, its schemas and its programs; every problem is told at once. */

import { open } from 'node:fs/promises';
import { isAlias, isMap, isScalar, LineCounter, parseDocument, visit, type Document } from 'yaml';
import type { FieldError } from '../domain/error.ts';
import { toolEntry, type ToolEntry } from '../domain/tool.ts';
import { checkArguments } from './arguments.ts';
import { explainIssues, hintFor } from './catalog-problems.ts';
import type { ParameterCompiler, Parameters } from './parameters.ts';
import { findProgram } from './program.ts';

export interface CatalogProblem {
  file: string;
  /** Dotted path in the file; empty for the whole. */
  path: string;
  message: string;
  /** What to do about it. */
  hint: string;
}

export interface CatalogFile {
  file: string;
  content: Buffer;
  entry: ToolEntry;
  parameters: ReadonlyMap<string, Parameters>;
  /** By action: the program that `process.run` starts. */
  programs: ReadonlyMap<string, string>;
}

const fileMaxBytes = 256 * 1024;
const forbiddenKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Reads a catalog file. Never throws for what the file holds. */
export async function readCatalogFile(
  file: string,
  compile: ParameterCompiler,
): Promise<CatalogFile | { problems: CatalogProblem[] }> {
  const problem = (errors: readonly FieldError[]): { problems: CatalogProblem[] } => ({
    problems: errors.map(({ path, message }) => ({ file, path, message, hint: hintFor(path, message) })),
  });
  const content = await readCapped(file);
  if (!Buffer.isBuffer(content)) return problem([content]);
  const yaml = parseStrictYaml(content);
  if ('errors' in yaml) return problem(yaml.errors);
  const parsed = toolEntry.safeParse(yaml.value);
  if (!parsed.success) return problem(explainIssues(parsed.error.issues));
  const entry = parsed.data;

  const errors: FieldError[] = [];
  const parameters = new Map<string, Parameters>();
  const programs = new Map<string, string>();
  for (const [name, action] of Object.entries(entry.actions)) {
    const at = (path: string): string => `actions.${name}.${path}`;
    const compiled = compile(action.parameters);
    if ('problems' in compiled) {
      errors.push(...compiled.problems.map((one) => ({ ...one, path: at(joinPath('parameters', one.path)) })));
    } else parameters.set(name, compiled);
    if (action.run.builtin !== 'process.run') continue;
    errors.push(
      ...checkArguments(action.run, action.parameters).map((one) => ({ ...one, path: at(`run.${one.path}`) })),
    );
    const found = await findProgram(action.run.program);
    if ('problem' in found) errors.push({ path: at('run.program'), message: found.problem });
    else programs.set(name, found.path);
  }
  return errors.length > 0 ? problem(errors) : { file, content, entry, parameters, programs };
}

async function readCapped(file: string): Promise<Buffer | FieldError> {
  let handle;
  try {
    handle = await open(file);
    const stat = await handle.stat();
    if (!stat.isFile()) return { path: '', message: 'not a regular file' };
    if (stat.size > fileMaxBytes) return { path: '', message: `has over ${fileMaxBytes.toString()} bytes` };
    return await handle.readFile();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return { path: '', message: `cannot be read: ${code}` };
  } finally {
    await handle?.close();
  }
}

/** YAML 1.2, one document; duplicate keys, aliases, unknown tags, wrong UTF-8 and names with a meaning are refused. */
function parseStrictYaml(content: Buffer): { value: unknown } | { errors: FieldError[] } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    return { errors: [{ path: '', message: 'is not UTF-8' }] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { uniqueKeys: true, strict: true, lineCounter: lines, prettyErrors: false });
  const errors = [...document.errors, ...document.warnings].map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    return { path: '', message: `line ${line.toString()}, column ${col.toString()}: ${error.message}` };
  });
  errors.push(...forbiddenParts(document));
  if (errors.length > 0) return { errors: errors.slice(0, 50) };
  return { value: document.toJS({ maxAliasCount: 0 }) as unknown };
}

function forbiddenParts(document: Document): FieldError[] {
  const errors: FieldError[] = [];
  visit(document, (_key, node) => {
    if (isAlias(node)) errors.push({ path: '', message: `the alias *${node.source} is refused` });
    if (isMap(node)) {
      for (const { key } of node.items) {
        if (isScalar(key) ? forbiddenKeys.has(String(key.value)) : true) {
          errors.push({
            path: '',
            message: `the key ${isScalar(key) ? String(key.value) : 'that is no text'} is refused`,
          });
        }
      }
    }
  });
  return errors;
}

function joinPath(base: string, path: string): string {
  return path === '' ? base : `${base}.${path}`;
}
