/** All routes of the HTTP API. */

import type { Route } from '../route.ts';
import type { HttpServices } from '../services.ts';
import { accessRoutes } from './access.ts';
import { taskCommandRoutes } from './act-on-tasks.ts';
import { auditLogRoutes } from './audit-log.ts';
import { auditRecordRoutes } from './audit-records.ts';
import { keyRoutes } from './keys.ts';
import { nodeRoutes } from './nodes.ts';
import { taskReadRoutes } from './read-tasks.ts';
import { serviceRoutes } from './service.ts';
import { submitRoutes } from './submit-tasks.ts';
import { telemetryRoutes } from './telemetry.ts';
import { toolRoutes } from './tools.ts';

/** Literal paths stand before those with parameters that would take them. */
export function routeTable(services: HttpServices): Route[] {
  return [
    ...submitRoutes(services),
    ...taskReadRoutes(services),
    ...taskCommandRoutes(services),
    ...toolRoutes(services),
    ...auditRecordRoutes(services),
    ...auditLogRoutes(services),
    ...accessRoutes(services),
    ...keyRoutes(services),
    ...nodeRoutes(services),
    ...telemetryRoutes(services),
    ...serviceRoutes(services),
  ];
}
