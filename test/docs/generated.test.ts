import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { eventSchema, exampleEvents } from '../../scripts/document-events.ts';
import { eventDescriptions } from '../../scripts/event-examples.ts';
import { docPath, generatedDocs } from '../../scripts/generated-docs.ts';
import { eventTypes } from '../../src/domain/event.ts';

describe('generated documents', () => {
  it('are those that "npm run docs" writes', async () => {
    const { files, leftOver } = await generatedDocs();
    const differing = [...leftOver];
    for (const [path, text] of files) {
      if ((await readFile(docPath(path), 'utf8').catch(() => undefined)) !== text) differing.push(path);
    }
    expect(differing, 'run "npm run docs"').to.deep.equal([]);
  });

  it('have an example of each type of event, which fits the schema of that type and of no other', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    for (const type of eventTypes) {
      const fits = ajv.compile(eventSchema(type));
      const [first] = exampleEvents(type);
      expect(fits(first), `${type}: ${ajv.errorsText(fits.errors)}`).to.equal(true);
      expect(fits({ ...first, event_type: 'task.unheard' })).to.equal(false);
      expect(eventDescriptions[type].records).to.include(eventDescriptions[type].example.type);
    }
  });
});
