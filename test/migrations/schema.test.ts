/** The committed dump of the schema. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { dumpSchema } from '../../scripts/schema-dump.ts';
import { createTestDatabase, MIGRATIONS } from '../support/postgres.ts';

describe('migrations/schema.sql', () => {
  it('says what the migrations make (else: npm run schema)', async () => {
    const { database, drop } = await createTestDatabase();
    const schema = await dumpSchema(database);
    await drop();
    expect(schema).to.equal(await readFile(join(MIGRATIONS, 'schema.sql'), 'utf8'));
  });
});
