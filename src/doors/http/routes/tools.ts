/** Routes that show the tool catalog. */

import { AppError } from '../../../domain/error.ts';
import type { CatalogTool } from '../../../tools/catalog.ts';
import * as shapes from '../answer-schemas.ts';
import { route, type Route } from '../route.ts';
import type { HttpServices } from '../services.ts';

export function toolRoutes({ catalog }: HttpServices): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v1/tools',
      access: 'tools:read',
      tag: 'tools',
      summary: 'List what can be asked for',
      answers: { 200: { description: 'All tools', schema: shapes.toolList } },
      handle: () => Promise.resolve({ status: 200, body: { tools: [...catalog.tools.values()].map(toolView) } }),
    }),
    route({
      method: 'get',
      path: '/api/v1/tools/{tool}',
      access: 'tools:read',
      tag: 'tools',
      summary: 'Read one tool',
      params: { tool: 'Name of a tool' },
      answers: { 200: { description: 'The tool', schema: shapes.toolView } },
      handle: ({ params: { tool = '' } }) => {
        const found = catalog.tools.get(tool);
        if (found === undefined)
          throw new AppError('not_found', 'There is no such tool.', { reason: 'tool_not_found' });
        return Promise.resolve({ status: 200, body: toolView(found) });
      },
    }),
  ];
}

function toolView({ tool, version, digest, description, actions }: CatalogTool): object {
  return {
    tool,
    version,
    digest,
    description,
    actions: [...actions.values()].map((action) => ({
      action: action.action,
      description: action.description,
      parameters: action.parameters,
      required_role: action.required_role,
      effects: action.effects,
      timeout_s: action.timeout_s,
      approval: null,
    })),
  };
}
