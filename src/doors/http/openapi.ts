/** The OpenAPI 3.1 document of the API, generated from the table of routes. */

import { z } from 'zod';
import * as shapes from './answer-schemas.ts';
import type { AnswerShape, Route } from './route.ts';

interface JsonSchema {
  type?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  description?: string;
  [member: string]: unknown;
}

export interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  parameters: { name: string; in: string; required: boolean; description?: string; schema: JsonSchema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: JsonSchema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: JsonSchema }> }>;
  security: Record<string, string[]>[];
  'x-writ-access': string;
}

export interface OpenApi {
  openapi: string;
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, JsonSchema>; securitySchemes: Record<string, object> };
}

/** The document; `version` is that of the program. */
export function openApiOf(routes: readonly Route[], version: string): OpenApi {
  const paths: OpenApi['paths'] = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method] = operationOf(route);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Writ',
      version,
      description: 'Security automation: every order signed, every decision in a log that verifies offline.',
    },
    paths,
    components: {
      schemas: { Problem: schemaOf(shapes.problem, 'output') },
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(route: Route): Operation {
  const body = route.body === undefined ? undefined : schemaOf(route.body, 'input');
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: (body.required ?? []).length > 0,
            content: { 'application/json': { schema: body } },
          },
        }),
    responses: responsesOf(route),
    security: route.access === 'none' ? [] : [{ bearer: [] }],
    'x-writ-access': route.access,
  };
}

/** `get /api/v1/tasks/{task_id}/result` is `get_tasks_task_id_result`. */
function operationId({ method, path }: Route): string {
  const words = path.replace(/^\/api\/v1/, '').match(/[A-Za-z0-9_]+/g) ?? [];
  return [method, ...(path.startsWith('/api/') ? [] : ['root']), ...words].join('_');
}

function pathParameters({ params = {} }: Route): Operation['parameters'] {
  return Object.entries(params).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }));
}

function queryParameters({ query }: Route): Operation['parameters'] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(query, 'input');
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    // Labels are asked for as label.<key>=<value>.
    name: name === 'label' ? 'label.{key}' : name,
    in: 'query',
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: name === 'label' ? { type: 'string' } : schema,
  }));
}

function headerParameters({ isIdempotent }: Route): Operation['parameters'] {
  if (isIdempotent !== true) return [];
  const description = 'Makes it safe to send the call again: the first answer is given again for 24 hours';
  return [
    { name: 'Idempotency-Key', in: 'header', required: false, description, schema: { type: 'string', maxLength: 255 } },
  ];
}

function responsesOf({ answers }: Route): Operation['responses'] {
  const responses: Operation['responses'] = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = responseOf(answer);
  responses['default'] = {
    description: 'A failure; its `code` is explained at /docs/errors',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
  return responses;
}

function responseOf({
  description,
  schema,
  contentType = 'application/json',
}: AnswerShape): Operation['responses'][string] {
  if (schema !== undefined) return { description, content: { [contentType]: { schema: schemaOf(schema, 'output') } } };
  return contentType === 'application/json'
    ? { description }
    : { description, content: { [contentType]: { schema: {} } } };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as JsonSchema;
  return json;
}
