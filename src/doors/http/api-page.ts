/** The readable page of the API, made from its OpenAPI document. */

import { escapeHtml, page } from './html.ts';
import type { OpenApi, Operation } from './openapi.ts';

export function apiPage({ info, paths }: OpenApi): Buffer {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.flatMap(({ operation }) => operation.tags))];
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(tag));
    return `<h2 id="${escapeHtml(tag)}">${escapeHtml(tag)}</h2>${own.map((one) => operationHtml(one.method, one.path, one.operation)).join('')}`;
  });
  const intro = `<h1>${escapeHtml(info.title)} ${escapeHtml(info.version)}</h1><p>${escapeHtml(info.description)}</p>
<p>Send <code>Authorization: Bearer …</code> with every call but those marked as open. The same as a document for programs:
<a href="/api/v1/openapi.json">openapi.json</a>. Every code of a failure: <a href="/docs/errors">errors</a>.</p>
<p>${tags.map((tag) => `<a href="#${escapeHtml(tag)}">${escapeHtml(tag)}</a>`).join(' · ')}</p>`;
  return page(`${info.title} API`, intro + sections.join(''));
}

function operationHtml(method: string, path: string, operation: Operation): string {
  const access = operation['x-writ-access'];
  const parts = [
    `<h3 id="${escapeHtml(operation.operationId)}"><code>${escapeHtml(method.toUpperCase())} ${escapeHtml(path)}</code></h3>`,
    `<p>${escapeHtml(operation.summary)}. ${access === 'none' ? 'Open to anybody.' : `Needs <code>${escapeHtml(access)}</code>.`}</p>`,
    parametersHtml(operation),
  ];
  const body = operation.requestBody?.content['application/json']?.schema;
  if (body !== undefined) parts.push(`<details><summary>Body</summary>${schemaHtml(body)}</details>`);
  for (const [status, { description, content }] of Object.entries(operation.responses)) {
    if (status === 'default') continue;
    const [type, media] = Object.entries(content ?? {})[0] ?? [];
    const summary = `<code>${escapeHtml(status)}</code> ${escapeHtml(description)}`;
    const isSchema = type === 'application/json' && media !== undefined;
    parts.push(
      isSchema ? `<details><summary>${summary}</summary>${schemaHtml(media.schema)}</details>` : `<p>${summary}</p>`,
    );
  }
  return parts.join('\n');
}

function parametersHtml({ parameters }: Operation): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: where, required, description = '', schema }) => {
    const { type, enum: values, pattern, minimum, maximum } = schema;
    const form = JSON.stringify({ type, values, pattern, minimum, maximum })
      .replace(/[{}"]/g, '')
      .replaceAll(',', ', ');
    const cells = [name, required ? `${where}, required` : where, form, description];
    return `<tr>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`;
  });
  return `<table><tr><th>parameter</th><th>in</th><th>form</th><th></th></tr>${rows.join('')}</table>`;
}

function schemaHtml(schema: object): string {
  return `<pre>${escapeHtml(JSON.stringify(schema, null, 2))}</pre>`;
}
