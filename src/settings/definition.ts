/** What one setting is: its variable, its form, its default, what it means. */

import { z } from 'zod';

export interface Definition<T> {
  /** Environment variable. */
  env: string;
  schema: z.ZodType<T>;
  fallback: () => T;
  description: string;
  /** Never shown; may also come from the file that `ENV_FILE` or `key_file` names. */
  isSecret?: boolean;
}

/** A setting; what is a function is asked for the default when it is needed. */
export function define<T>(
  env: string,
  schema: z.ZodType<T>,
  fallback: T | (() => T),
  description: string,
): Definition<T> {
  return {
    env,
    schema: schema instanceof z.ZodNumber ? (digits.pipe(schema) as unknown as z.ZodType<T>) : schema,
    fallback: typeof fallback === 'function' ? (fallback as () => T) : () => fallback,
    description,
  };
}

/** A text that is shown to nobody; empty where it is not given. */
export function defineSecret(env: string, description: string): Definition<string> {
  return { ...define(env, z.string(), '', description), isSecret: true };
}

/** What is read as a number: an empty text, `null` and `[]` would be 0, and that may switch something off. */
const digits = z
  .unknown()
  .refine(
    (given) =>
      /^-?\d+(\.\d+)?$/.test(typeof given === 'string' ? given : typeof given === 'number' ? given.toString() : ''),
    'a number in digits',
  );

export const seconds = z.coerce.number().min(0).max(31_536_000);
export const count = z.coerce.number().int().min(0);
export const name = z.string().regex(/^[A-Za-z0-9._-]{1,127}$/, 'a name: letters, digits, ". _ -", 127 at most');
export const listen = z
  .string()
  .regex(/^(\[[0-9a-f:]+\]|[^:\s]+):\d{1,5}$/i, 'HOST:PORT')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'HOST:PORT, with a port up to 65535');
export const optionalListen = listen.or(z.literal(''));
export const path = z.string();
