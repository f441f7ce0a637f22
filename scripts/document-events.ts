/** Documents of events: a JSON Schema for each type, and the part of docs/telemetry.md that tells of each. */
import { z } from 'zod';
import { eventTypes, telemetryEvent, type EventType, type TelemetryEvent } from '../src/domain/event.ts';
import { eventsOf } from '../src/telemetry/events-of.ts';
import { eventDescriptions } from './event-examples.ts';

type JsonSchema = Record<string, unknown>;

const commonAttributes: Readonly<Record<string, JsonSchema>> = {
  audit_seq: { minimum: 0, description: '`seq` of the record; events of one record share it.' },
  previous_audit_seq: {
    minimum: -1,
    description: '`seq` of the record that the feed told of before this one; -1 for none.',
  },
  index: { minimum: 0, description: 'Position among the events of the record.' },
  count: { minimum: 1, description: 'How many events the record has on this feed.' },
  reason: { type: 'string', description: 'Stable code, where the outcome is not plain.' },
  request_id: { type: 'string', description: 'The call that caused the record (`X-Request-Id`).' },
};

/** The JSON Schema (2020-12) of one type: the schema that the program has, narrowed. */
export function eventSchema(type: EventType): JsonSchema {
  const schema = z.toJSONSchema(telemetryEvent) as JsonSchema & { properties: Record<string, JsonSchema> };
  const { summary, attributes } = eventDescriptions[type];
  const { properties } = schema;
  const own = properties['attributes'] as JsonSchema & { properties: Record<string, JsonSchema> };
  for (const [name, more] of Object.entries(commonAttributes)) {
    const { maximum: _, ...given } = own.properties[name] ?? {};
    own.properties[name] = { ...given, ...more };
  }
  Object.assign(own.properties, attributes);
  properties['event_type'] = { const: type };
  return { ...schema, title: type, description: summary };
}

/** The events that the example record of a type is told by. */
export function exampleEvents(type: EventType): TelemetryEvent[] {
  const { example } = eventDescriptions[type];
  return eventsOf(example, example.seq - 1, () => true).map(({ json }) => JSON.parse(json) as TelemetryEvent);
}

/** The part of docs/telemetry.md about each type. */
export function eventSections(): string {
  return eventTypes.map(section).join('\n');
}

function section(type: EventType): string {
  const { summary, records, target, status, attributes } = eventDescriptions[type];
  const own = Object.entries(attributes).map(([name, { description }]) => `- \`attributes.${name}\`: ${description}\n`);
  return `### ${type}

${summary}

- Records: ${records.map((name) => `\`${name}\``).join(', ')}. Schema: [${type}.schema.json](events/${type}.schema.json).
- Target: ${target}. Status: ${status}.
${own.join('')}
\`\`\`json
${JSON.stringify(exampleEvents(type)[0], null, 2)}
\`\`\`
`;
}
