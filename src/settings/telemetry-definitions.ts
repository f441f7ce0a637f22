/** Settings of telemetry. */

import { z } from 'zod';
import { eventTypes, type EventType } from '../domain/event.ts';
import { count, define, name, seconds } from './definition.ts';

export const telemetryDefinitions = {
  telemetry_feeds: define(
    'TELEMETRY_FEEDS',
    z.enum(['events', 'batches', 'both']),
    'events',
    'Feeds of telemetry: one event a message, up to 500, or both.',
  ),
  telemetry_event_types: define(
    'TELEMETRY_EVENT_TYPES',
    z.string().transform(parseEventTypes),
    () => eventTypes.filter((type) => type !== 'task.dispatched'),
    'Types of event that go out, separated by ","; all but task.dispatched by default.',
  ),
  telemetry_max_attempts: define(
    'TELEMETRY_MAX_ATTEMPTS',
    count.min(1),
    5,
    'Tries for an event that the broker refuses.',
  ),
  telemetry_backoff_initial_s: define(
    'TELEMETRY_BACKOFF_INITIAL_S',
    seconds,
    1,
    'First wait while the broker takes no events.',
  ),
  telemetry_backoff_max_s: define(
    'TELEMETRY_BACKOFF_MAX_S',
    seconds,
    60,
    'Longest wait while the broker takes no events.',
  ),
  telemetry_exchange: define('RABBITMQ_TELEMETRY_EXCHANGE', name, 'spectrastrike.telemetry', 'Exchange of telemetry.'),
  telemetry_routing_key: define(
    'RABBITMQ_TELEMETRY_ROUTING_KEY',
    name,
    'telemetry.events',
    'Routing key of single events.',
  ),
  telemetry_queue: define('RABBITMQ_TELEMETRY_QUEUE', name, 'telemetry.events', 'Queue of single events.'),
  telemetry_dlq: define(
    'RABBITMQ_TELEMETRY_DLQ',
    name,
    'telemetry.events.dlq',
    'Queue of events that consumers reject.',
  ),
  telemetry_queue_max_length: define(
    'TELEMETRY_QUEUE_MAX_LENGTH',
    count.min(1),
    1_000_000,
    'Messages in a queue of telemetry at most; the rest waits in the log.',
  ),
} as const;

function parseEventTypes(text: string, context: z.RefinementCtx): EventType[] {
  const types = text.split(',').map((type) => type.trim());
  const unknown = types.filter((type) => !eventTypes.includes(type as EventType));
  if (unknown.length > 0) {
    context.addIssue({ code: 'custom', message: `unknown: ${unknown.join(', ')}; known: ${eventTypes.join(', ')}` });
  }
  return types as EventType[];
}
