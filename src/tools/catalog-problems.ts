/** Says what is wrong with a catalog entry in words that tell its author what to do. */

import type { FieldError } from '../domain/error.ts';

/** What a shape check says; zod's issues have this form. */
export interface ShapeIssue {
  code?: string | undefined;
  path: readonly PropertyKey[];
  message: string;
  keys?: readonly string[];
  issues?: readonly { message: string }[];
}

/** Flattens issues: one error for each unknown member, and the reason of a refused key instead of "invalid key". */
export function explainIssues(issues: readonly ShapeIssue[]): FieldError[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map(String).join('.');
    if (issue.code === 'unrecognized_keys' && issue.keys !== undefined) {
      return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, message: 'is not known here' }));
    }
    if (issue.code === 'invalid_key') return [{ path, message: issue.issues?.[0]?.message ?? issue.message }];
    return [{ path, message: issue.message.replace(/^Invalid input: /, '') }];
  });
}

/** By the last telling part of a path, what to do; the first that fits counts. */
const hints: readonly (readonly [path: RegExp, message: RegExp, hint: string])[] = [
  [/^$/, /Map keys must be unique/, 'a key stands twice in one mapping; keep one'],
  [/^$/, /alias/, 'write the part out in full: anchors and aliases are not used in catalogs'],
  [/^$/, /cannot be read|regular file/, 'give a readable file, or take it out of the folder'],
  [/^$/, /bytes/, 'split the tool into several'],
  [/^$/, /UTF-8/, 'save the file as UTF-8'],
  [/^$/, /another file/, 'give this tool another name, or take one of the files out'],
  [/^$/, /line \d+/, 'mend the YAML at this place'],
  [/./, /is not known here/, 'check the spelling, or take it out; the entries that come with Writ show what there is'],
  [/\.run\.builtin$/, /./, 'name a built-in implementation, or process.run for a program of your own'],
  [/\.run\.program$/, /shell|starter/, 'put the commands in a script of their own and name that'],
  [/\.run\.program$/, /./, 'install the program, or write its absolute path'],
  [/\.run\.args\b/, /./, 'the argument list and the properties of parameters must fit together'],
  [/\.run\.env\b/, /./, 'PATH, LD_* and the like are set by Writ alone; take it out'],
  [/\.parameters\b.*x-writ-target$/, /./, 'a target must stand where every payload that is valid shows it'],
  [/\.parameters\b/, /./, 'write a JSON Schema 2020-12 of an object'],
  [/\.effects$/, /./, 'none, idempotent or destructive: whether a second run changes anything'],
  [/\.required_role$/, /./, 'name the role that a requester must hold, such as operator'],
  [/\.timeout_s$/, /./, 'write whole seconds, such as 30'],
  [/\.exit_codes\b/, /./, 'write codes as 0: succeeded, 1: failed, 75: retryable'],
  [/^version$/, /./, 'write the version in quotes, such as "1.0.0"'],
  [/^tool$|^actions\.[^.]*$/, /./, 'lower case letters, digits, "_" and "-", beginning with a letter'],
];

/** What to do about a problem. */
export function hintFor(path: string, message: string): string {
  return (
    hints.find(([where, what]) => where.test(path) && what.test(message))?.[2] ??
    'compare it with the entries that come with Writ'
  );
}
