/** A route of the API: what it takes, who may call it, what it answers; router, OpenAPI and tests are made from these. */

import type { z } from 'zod';
import type { CallContext } from '../../aaa/aaa-service-adapter.ts';
import type { Permission, Principal } from '../../domain/principal.ts';
import type { IdempotencyClaim } from '../../tasks/idempotent.ts';

/**
 * `none`: anybody. `any`: every authenticated principal. `join_token`, `node_credential`: a token that the fleet checks itself.
 */
export type Access = Permission | 'none' | 'any' | 'join_token' | 'node_credential';

/** What a route answers: JSON of `body`, ready bytes, or a stream. */
export interface Reply {
  status: number;
  body?: object | Buffer;
  stream?: AsyncIterable<Uint8Array>;
  /** Default `application/json`. */
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
}

/** One call, parsed: path, query and body fit the route's schemas. */
export interface Call<Query, Body> {
  context: CallContext;
  params: Readonly<Record<string, string>>;
  query: Query;
  body: Body;
  /** The body's bytes; none where there was no body. */
  bytes: Buffer;
  idempotency: IdempotencyClaim | undefined;
  /** Aborts when the caller goes away or the door closes; made for those who ask. */
  ended: () => AbortSignal;
}

/** A call by an authenticated principal. */
export interface PrincipalCall<Query, Body> extends Call<Query, Body> {
  principal: Principal;
}

/** A call with a token that is still to be checked. */
export interface TokenCall<Query, Body> extends Call<Query, Body> {
  token: string;
}

/** An answer as the documents describe it. */
export interface AnswerShape {
  description: string;
  schema?: z.ZodType;
  contentType?: string;
}

interface Shape<Query extends z.ZodType, Body extends z.ZodType> {
  method: 'get' | 'post' | 'put' | 'delete';
  /** Parameters in braces, as OpenAPI writes them. */
  path: string;
  tag: string;
  summary: string;
  /** What each path parameter is. */
  params?: Readonly<Record<string, string>>;
  query?: Query;
  body?: Body;
  /** Describes a body that a room checks by itself, item by item: the door only reads its JSON. */
  checkedLater?: boolean;
  /** Changes nothing, though it is no GET: answers also while nothing may be changed. */
  isDryRun?: boolean;
  /** Whether the write takes an Idempotency-Key. */
  isIdempotent?: boolean;
  answers: Readonly<Record<number, AnswerShape>>;
}

type Handled<Query extends z.ZodType, Body extends z.ZodType> =
  | { access: Permission | 'any'; handle(call: PrincipalCall<z.output<Query>, z.output<Body>>): Promise<Reply> }
  | { access: 'none'; handle(call: Call<z.output<Query>, z.output<Body>>): Promise<Reply> }
  | {
      access: 'join_token' | 'node_credential';
      handle(call: TokenCall<z.output<Query>, z.output<Body>>): Promise<Reply>;
    };

/** A route whose schemas are known to its handler only. */
export interface Route extends Shape<z.ZodType, z.ZodType> {
  access: Access;
  handle(call: Call<unknown, unknown> & { principal?: Principal; token?: string }): Promise<Reply>;
}

/** Declares a route; the handler sees the types of its schemas. The router hands it exactly what `access` promises. */
export function route<Query extends z.ZodType = z.ZodObject, Body extends z.ZodType = z.ZodUndefined>(
  declared: Shape<Query, Body> & Handled<Query, Body>,
): Route {
  return declared;
}
