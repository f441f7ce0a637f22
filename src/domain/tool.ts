/** An entry of the tool catalog: one tool, its actions, what each demands and what runs it. */

import { z } from 'zod';
import { name, timeoutMaxS } from './task.ts';

/** What an attempt may change: nothing, something that a second run does not change further, or anything. */
export const effects = ['none', 'idempotent', 'destructive'] as const;
export type Effects = (typeof effects)[number];

/** Implementations that come with a node. */
export const builtinNames = [
  'tls.inspect',
  'http.probe',
  'tcp.connect',
  'dns.lookup',
  'file.integrity',
  'noop.run',
  'noop.append',
] as const;
export type BuiltinName = (typeof builtinNames)[number];

/** A name of a tool or an action; without dots, since `tool.action` is how scopes name them. */
export const toolName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'a name: lower case, digits, "_ -", 63 at most');

const parameterName = z.string().min(1).max(63);
const flag = z
  .string()
  .regex(/^--[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'a long option as "--name"; its value follows as "--name=value"');

/**
 * One place in the argument list: a literal; a parameter's value (left out where the payload has none); or each item of
 * a parameter that is a list. With `flag` a value is passed as `--flag=value`, and `true` as `--flag` alone.
 */
export const argument = z.union(
  [
    z.string().max(4096),
    z.strictObject({ param: parameterName, flag: flag.optional() }),
    z.strictObject({ each: parameterName, flag: flag.optional() }),
  ],
  { error: 'an argument is a text in quotes, {param: name}, {param: name, flag: --x} or {each: name}' },
);
export type Argument = z.infer<typeof argument>;

const environment = z.record(
  z
    .string()
    .regex(/^(?!PATH$|LD_|DYLD_|NODE_OPTIONS$)[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'not a variable that an entry may set'),
  z.string().max(4096),
);

/** Any program, by its argument array; never a shell. */
export const processRun = z.strictObject({
  builtin: z.literal('process.run'),
  /** Absolute path, or a name that is looked for in the fixed search path. */
  program: z
    .string()
    .max(1024)
    .regex(
      /^(\/(?!.*(^|\/)\.\.(\/|$))[^\0]+|[A-Za-z0-9_][A-Za-z0-9._+-]*)$/,
      'an absolute path without "..", or the name of a program',
    ),
  args: z.array(argument).max(256),
  env: environment.optional(),
  /** The parameter whose text the program reads; without it standard input is closed. */
  stdin: z.strictObject({ param: parameterName }).optional(),
  /** `json` makes an output that is not JSON a failure. Default `text`. */
  expects_output: z.enum(['json', 'text']).optional(),
});
export type ProcessRun = z.infer<typeof processRun>;

const builtinRun = z.strictObject({ builtin: z.enum(builtinNames) });

/** What an exit code of the program means. */
export const exitMeanings = ['succeeded', 'failed', 'retryable'] as const;
export type ExitMeaning = (typeof exitMeanings)[number];

const exitCodes = z.record(
  z.string().regex(/^(\d{1,2}|1\d\d|2[0-4]\d|25[0-5])$/, 'an exit code from 0 to 255'),
  z.enum(exitMeanings),
);

export const actionEntry = z
  .strictObject({
    description: z.string().min(1).max(1000),
    /** JSON Schema 2020-12 of the payload. */
    parameters: z.record(z.string(), z.unknown()),
    required_role: name,
    effects: z.enum(effects),
    /** Hard limit of one attempt where the task asks for none, seconds. */
    timeout_s: z.int().min(1).max(timeoutMaxS),
    run: z.discriminatedUnion('builtin', [processRun, builtinRun]),
    /** Only with `process.run`. Without it 0 is success; codes that are not in it are failures. */
    exit_codes: exitCodes.optional(),
  })
  .refine((action) => action.exit_codes === undefined || action.run.builtin === 'process.run', {
    path: ['exit_codes'],
    message: 'only process.run has exit codes',
  });
export type ActionEntry = z.infer<typeof actionEntry>;

/** One catalog file. */
export const toolEntry = z.strictObject({
  tool: toolName,
  version: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.+-]{0,62}$/, 'a version such as "1.0.0", in quotes'),
  description: z.string().min(1).max(1000),
  actions: z
    .record(toolName, actionEntry)
    .refine((actions) => Object.keys(actions).length > 0, { message: 'a tool has at least one action' }),
});
export type ToolEntry = z.infer<typeof toolEntry>;
