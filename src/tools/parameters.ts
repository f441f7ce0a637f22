/** Compiles an action's parameter schema: checks payloads against it, and finds the targets that they name. */

import { Ajv2020, type ErrorObject, type FuncKeywordDefinition } from 'ajv/dist/2020.js';
import type { FieldError } from '../domain/error.ts';
import { parseTarget, targetKinds, type Target, type TargetKind } from '../domain/target.ts';
import { findTargetMarks, targetKeyword, type TargetMark } from './target-marks.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Parameters {
  schema: JsonSchema;
  /** Where the schema marks targets. */
  marks: readonly TargetMark[];
  /** What is wrong with a payload; empty where nothing is. */
  validate(payload: unknown): FieldError[];
  /** The targets of a payload that is valid, each once. */
  targets(payload: unknown): readonly Target[];
}

/** At most so many errors are told of one payload. */
const errorsMax = 20;
const noErrors: FieldError[] = [];
const noTargets: readonly Target[] = [];

/** Compiles one schema, or says what is wrong with it. */
export type ParameterCompiler = (schema: JsonSchema) => Parameters | { problems: FieldError[] };

/** One compiler serves many schemas: building it is the expensive part. */
export function createParameterCompiler(): ParameterCompiler {
  const ajv = new Ajv2020({
    strict: true,
    strictRequired: false,
    allErrors: true,
    passContext: true,
    ownProperties: true,
    logger: false,
  });
  ajv.addKeyword(targetKeywordDefinition);
  return (schema) => {
    const problems = problemsOfForm(schema);
    const found = findTargetMarks(schema);
    problems.push(...found.problems);
    if (problems.length > 0) return { problems };
    try {
      const check = ajv.compile(schema);
      // A schema that refers to itself without coming further down overflows here, not on somebody's task.
      check({});
      return {
        schema,
        marks: found.marks,
        validate: (payload) => (check(payload) ? noErrors : (check.errors ?? []).slice(0, errorsMax).map(toFieldError)),
        targets: (payload) => {
          if (found.marks.length === 0) return noTargets;
          const collector = new TargetCollector();
          check.call(collector, payload);
          return collector.targets();
        },
      };
    } catch (error) {
      return { problems: [{ path: '', message: error instanceof Error ? error.message : 'not a JSON Schema' }] };
    } finally {
      ajv.removeSchema(schema);
    }
  };
}

/** Handed to the compiled check as its context: each marked member that it comes to is noted here. */
class TargetCollector {
  private readonly found = new Map<string, Target>();

  add(target: Target): void {
    this.found.set(`${target.kind} ${target.path}`, target);
  }

  targets(): readonly Target[] {
    return [...this.found.values()];
  }
}

const validateMark = function (
  this: unknown,
  kind: TargetKind,
  value: string,
  _parent: unknown,
  cursor?: { instancePath: string },
): boolean {
  const path = dotted(cursor?.instancePath ?? '');
  const target = parseTarget(kind, value, path);
  if ('problem' in target) {
    markCheck.errors = [{ keyword: targetKeyword, message: target.problem, params: {} }];
    return false;
  }
  if (this instanceof TargetCollector) this.add(target);
  return true;
};
const markCheck: typeof validateMark & { errors?: Partial<ErrorObject>[] } = validateMark;

const targetKeywordDefinition: FuncKeywordDefinition = {
  keyword: targetKeyword,
  type: 'string',
  schemaType: 'string',
  metaSchema: { enum: [...targetKinds] },
  errors: true,
  validate: markCheck as never,
};

/** What Writ asks of a schema beyond being one. */
function problemsOfForm(schema: JsonSchema): FieldError[] {
  const problems: FieldError[] = [];
  if (schema['type'] !== 'object')
    problems.push({ path: 'type', message: 'a payload is an object: write type: object' });
  if (schema['additionalProperties'] !== false && schema['unevaluatedProperties'] !== false) {
    problems.push({
      path: 'additionalProperties',
      message: 'write additionalProperties: false; unknown members are refused',
    });
  }
  if ('$id' in schema || '$schema' in schema) {
    problems.push({
      path: '$id' in schema ? '$id' : '$schema',
      message: 'take it out: schemas here are 2020-12 and have no name',
    });
  }
  return problems;
}

function toFieldError(error: ErrorObject): FieldError {
  const parameters = error.params as Record<string, unknown>;
  const member = parameters['missingProperty'] ?? parameters['additionalProperty'] ?? parameters['unevaluatedProperty'];
  const base = dotted(error.instancePath);
  const path = typeof member === 'string' ? (base === '' ? member : `${base}.${member}`) : base;
  return { path, message: describe(error, parameters) };
}

function describe(error: ErrorObject, parameters: Record<string, unknown>): string {
  switch (error.keyword) {
    case 'required':
      return 'is missing';
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return 'is not a parameter of this action';
    case 'enum':
      return `must be one of ${JSON.stringify(parameters['allowedValues'])}`;
    default:
      return error.message ?? `does not satisfy ${error.keyword}`;
  }
}

/** A JSON pointer as a dotted path. */
function dotted(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.');
}
