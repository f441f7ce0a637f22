/** Finds the target marks of a parameter schema, and refuses them where a payload could pass without being looked at. */

import type { FieldError } from '../domain/error.ts';
import { targetKinds, type TargetKind } from '../domain/target.ts';

export const targetKeyword = 'x-writ-target';

export interface TargetMark {
  /** Dotted path in payloads; `*` stands for any item or name. */
  path: string;
  kind: TargetKind;
}

export interface FoundMarks {
  marks: TargetMark[];
  /** Paths are in the schema. */
  problems: FieldError[];
}

/** Keywords whose schema applies to the value itself or below it, on every payload that is valid. */
const single: Readonly<Record<string, string>> = {
  items: '.*',
  additionalProperties: '.*',
  unevaluatedProperties: '.*',
  unevaluatedItems: '.*',
  then: '',
  else: '',
};
const lists: Readonly<Record<string, string>> = { prefixItems: '.*', allOf: '', oneOf: '' };
/** Keywords that hold schemas by name. */
const named: ReadonlySet<string> = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs']);
/** Evaluation stops early in these, or a member that matches makes the payload invalid. */
const unsure: ReadonlySet<string> = new Set(['anyOf', 'not', 'if', 'contains', 'propertyNames']);

/** Walks a schema; `$ref` is followed into the schema's own `$defs` only by the compiled check, so marks there count too. */
export function findTargetMarks(schema: Readonly<Record<string, unknown>>): FoundMarks {
  const found: FoundMarks = { marks: [], problems: [] };
  const references: string[] = [];
  walk(schema, { schemaPath: '', dataPath: '', sure: true, depth: 0 }, found, references);
  if (found.marks.length > 0) {
    for (const path of references) {
      found.problems.push({ path, message: '$ref under anyOf, not, if or contains could hide a target; write it out' });
    }
  }
  return found;
}

interface Place {
  schemaPath: string;
  dataPath: string;
  sure: boolean;
  depth: number;
}

const depthMax = 32;

function walk(schema: unknown, place: Place, found: FoundMarks, references: string[]): void {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return;
  if (place.depth > depthMax) {
    found.problems.push({ path: place.schemaPath, message: `nested over ${depthMax.toString()} deep` });
    return;
  }
  const members = schema as Record<string, unknown>;
  noteMark(members, place, found);
  if (!place.sure && '$ref' in members) references.push(place.schemaPath);
  for (const [keyword, value] of Object.entries(members)) {
    const below = (key: string, suffix: string, sure = place.sure): Place => ({
      schemaPath: join(place.schemaPath, key),
      dataPath: suffix.startsWith('.') ? join(place.dataPath, suffix.slice(1)) : place.dataPath,
      sure,
      depth: place.depth + 1,
    });
    if (Object.hasOwn(single, keyword)) walk(value, below(keyword, single[keyword] ?? ''), found, references);
    else if (Object.hasOwn(lists, keyword) || keyword === 'anyOf') {
      const sure = place.sure && keyword !== 'anyOf';
      for (const [index, item] of asList(value).entries()) {
        walk(item, below(`${keyword}.${index.toString()}`, lists[keyword] ?? '', sure), found, references);
      }
    } else if (unsure.has(keyword)) walk(value, below(keyword, '', false), found, references);
    else if (named.has(keyword)) {
      for (const [key, item] of Object.entries(asObject(value))) {
        walk(item, below(`${keyword}.${key}`, suffixOf(keyword, key)), found, references);
      }
    }
  }
}

function suffixOf(keyword: string, key: string): string {
  if (keyword === 'properties') return `.${key}`;
  if (keyword === '$defs') return `.$defs.${key}`;
  return keyword === 'patternProperties' ? '.*' : '';
}

function noteMark(members: Record<string, unknown>, place: Place, found: FoundMarks): void {
  if (!(targetKeyword in members)) return;
  const kind = members[targetKeyword];
  const path = join(place.schemaPath, targetKeyword);
  if (!isTargetKind(kind)) {
    found.problems.push({ path, message: `write one of ${targetKinds.join(', ')}` });
  } else if (members['type'] !== 'string') {
    found.problems.push({ path, message: 'a target is a text: write type: string beside the mark' });
  } else if (!place.sure) {
    found.problems.push({
      path,
      message: 'a mark under anyOf, not, if, contains or propertyNames may be passed by; use oneOf',
    });
  } else {
    found.marks.push({ path: place.dataPath, kind });
  }
}

function isTargetKind(value: unknown): value is TargetKind {
  return targetKinds.some((kind) => kind === value);
}

function join(base: string, part: string): string {
  return base === '' ? part : `${base}.${part}`;
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
