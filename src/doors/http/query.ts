/** Query parameters: each known, each once, each of its form. */

import { z } from 'zod';
import { AppError } from '../../domain/error.ts';
import { fieldErrors } from '../../tasks/plan.ts';

export const pageDefault = 100;
export const pageMax = 500;

/** `?limit=` of lists. */
export const limitParameter = z
  .string()
  .regex(/^(?:[1-9]\d?|[1-4]\d\d|500)$/, 'a whole number from 1 to 500')
  .optional()
  .transform((text) => (text === undefined ? pageDefault : Number(text)))
  .meta({
    type: 'integer',
    minimum: 1,
    maximum: pageMax,
    pattern: undefined,
    description: `${pageDefault.toString()} if absent`,
  });

/** `?cursor=` of lists: what the page before gave. */
export const cursorParameter = z.string().max(512).optional().describe('`next_cursor` of the page before');

/** `?wait_s=`: how long an answer may wait for the task's end. */
export const waitParameter = z
  .string()
  .regex(/^(?:[0-9]|[1-5]\d|60)$/, 'a whole number of seconds from 0 to 60')
  .optional()
  .transform((text) => Number(text ?? 0))
  .meta({ type: 'integer', minimum: 0, maximum: 60, pattern: undefined, description: 'Seconds; 0 if absent' });

/** A whole number from 0, as text. */
export const countParameter = z
  .string()
  .regex(/^(?:0|[1-9]\d{0,14})$/, 'a whole number from 0')
  .transform(Number)
  .meta({ type: 'integer', minimum: 0, pattern: undefined });

/** A time with its zone. */
export const timeParameter = z.iso
  .datetime({ offset: true, error: 'a time such as 2026-01-31T12:00:00Z' })
  .transform((text) => new Date(text));

/** Parameters `label.<key>=<value>` are one member of the query, `label`. */
export const labelParameters = z.record(z.string().min(1).max(63), z.string().max(255)).optional();
const labelPrefix = 'label.';

const own: Readonly<Record<string, string>> = { limit: 'invalid_limit', cursor: 'invalid_cursor' };

/**
 * The query of a URL by its schema. Fails `invalid`: `unknown_parameter`, `duplicate_parameter`, `invalid_limit`, `invalid_cursor`,
 * `invalid_parameter`.
 */
export function readQuery(schema: z.ZodType, url: string): unknown {
  const start = url.indexOf('?');
  const given: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const labels: Record<string, string> = {};
  if (start !== -1) {
    for (const [name, value] of new URLSearchParams(url.slice(start + 1))) {
      const isLabel = name.startsWith(labelPrefix);
      const key = isLabel ? name.slice(labelPrefix.length) : name;
      const into = isLabel ? labels : given;
      if (key === 'label' && !isLabel)
        throw invalid('unknown_parameter', [{ path: 'label', message: 'write label.<key>' }]);
      if (Object.hasOwn(into, key))
        throw invalid('duplicate_parameter', [{ path: name.slice(0, 100), message: 'given twice' }]);
      Object.defineProperty(into, key, { value, enumerable: true });
      if (value.includes('\0'))
        throw invalid('invalid_parameter', [{ path: name.slice(0, 100), message: 'holds NUL' }]);
    }
  }
  if (Object.keys(labels).length > 0) given['label'] = labels;
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw refusal(parsed.error);
}

function refusal(error: z.ZodError): AppError {
  const errors = fieldErrors(error).map(({ path, message }) => ({
    path: path.slice(0, 100),
    message: message.slice(0, 300).replace(/^unknown member/, 'unknown parameter'),
  }));
  if (error.issues.some(({ code }) => code === 'unrecognized_keys')) return invalid('unknown_parameter', errors);
  const first = String(error.issues[0]?.path[0] ?? '');
  return invalid(own[first] ?? 'invalid_parameter', errors);
}

function invalid(reason: string, errors: { path: string; message: string }[]): AppError {
  return new AppError('invalid', 'The query of this request is not of the documented form.', { reason, errors });
}
