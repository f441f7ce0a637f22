/** Compares migrations/schema.sql with what the migrations make, or writes it with `--write`. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createPool } from '../src/platform/postgres/pool.ts';
import { createTestDatabase, MIGRATIONS, stopTestPostgres } from '../test/support/postgres.ts';
import { dumpSchema } from './schema-dump.ts';

const path = join(MIGRATIONS, 'schema.sql');
try {
  const { url, drop } = await createTestDatabase();
  const owner = createPool({ url, max: 1 });
  const schema = await dumpSchema(owner);
  await owner.close();
  await drop();
  if (process.argv.includes('--write')) {
    await writeFile(path, schema);
  } else if (schema !== (await readFile(path, 'utf8').catch(() => ''))) {
    console.error('migrations/schema.sql does not say what the migrations make: run "npm run schema" and commit it.');
    process.exitCode = 1;
  }
} finally {
  await stopTestPostgres();
}
